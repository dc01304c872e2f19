// Who decides what: the precision of each node, the grid of each activation, and the groups that must share one. A plan is all
// that apply() needs beside the float graph; people see it as the text's `quantization`.
#pragma once

#include "base/diagnostics.h"
#include "quantize/calibrate/calibrate.h"
#include "quantize/calibrate/ranges.h"

#include <map>
#include <set>

namespace wherry {

struct PlanOptions {
  DType activations = DType::int8;        // or int16
  RangeMethod method = RangeMethod::mse;  // never for the model's outputs, nor what decides them: these are not clipped
  double percentile = 99.99;
  int threads = 2;
  bool allow_float = false;         // leave nodes without an integer kernel in float32 instead of refusing (E803)
  std::map<int, DType> nodes = {};  // by node of the graph: another precision: float32, int8 or int16
};

struct Choice {
  Grid grid;
  std::string by;  // "min-max", "kernel", "tie", "text"
  int group = -1;  // those with one number share the grid; -1: alone
};

struct QuantizedWeight {
  Tensor codes;               // of the weight's sizes; int8
  std::vector<float> scales;  // by channel
  std::vector<double> bias;   // in reals, by channel, corrected where correction is on; empty: the node has none
};

// A last layer whose output was stretched and moved (fit_answer.h).
struct AnswerFit {
  int node = 0;
  double gain = 1, offset = 0;             // of the reals that it gives
  double sqnr_before = 0, sqnr_after = 0;  // dB, of its output on samples that no weight was fitted to
};

struct Plan {
  std::vector<std::optional<DType>> nodes;        // float32, int8 or int16; nothing for nodes without reals
  std::map<std::pair<int, DType>, Choice> grids;  // by tensor and precision
  std::set<std::pair<int, int>> cuts;             // (node, input's place): given the grid of the node's output by a QUANTIZE of its own
  std::map<int, QuantizedWeight> weights;         // by node
  std::vector<AnswerFit> answers;                 // what was done to the weights last
};

// Nodes that no integer kernel can run are all listed.
Plan make_plan(const TflGraph& graph, const std::vector<Histogram>& tensors, const PlanOptions& options, Diagnostics& diagnostics);

// The tensors whose order decides the model's answer: its outputs, and what they are reshaped from.
std::set<int> deciding_tensors(const TflGraph& graph);

}  // namespace wherry
