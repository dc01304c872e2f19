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
enum class KerasForm { archive, code };  // see KerasLowering::as_code
struct KerasOptions {
  Io io = Io::nhwc;
  KerasForm form = KerasForm::archive;
  bool batch_open = true;  // false: the batch has the size of the source
};
LoweredKeras lower_to_keras(const Graph& graph, const OpTable& ops, const KerasOptions& options, Diagnostics& diagnostics);

// The graph with a size for every axis; the batch is one. E504 where another axis has none.
Graph sized_for_keras(const Graph& graph, Diagnostics& diagnostics);

}  // namespace wherry
