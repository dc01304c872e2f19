// Graph (PyTorch's meaning, channels first) → KerasGraph (channels last, built-in layers). Nothing is folded: batch norms stay
// layers that can be trained on, every weight of the source has its place in one layer.
#pragma once

#include "base/diagnostics.h"
#include "lower/lower_tfl.h"
#include "ops/keras.h"

namespace wherry {

// A source value that a layer computes, and how its axes lie: axis i of the value is axis order[i] of the layer's output.
struct KerasTap {
  std::string name;
  int tensor;
  std::vector<int> order;
};

struct LoweredKeras {
  KerasGraph graph;
  std::vector<KerasTap> taps;                           // in execution order, inputs first
  std::vector<std::vector<int>> output_orders;          // of graph.outputs
  std::map<std::string, std::vector<int>> port_orders;  // by the name that Keras has for the input or output
};

// Operators that Keras cannot express are all collected (E202) before anything is lost. The size of the batch is left open where no
// operator depends on it.
LoweredKeras lower_to_keras(const Graph& graph, const OpTable& ops, Io io, Diagnostics& diagnostics);

}  // namespace wherry
