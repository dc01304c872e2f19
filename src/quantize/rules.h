// What integer kernels ask of each operator: one row a builtin of the TensorFlow Lite quantization specification.
#pragma once

#include "ops/tfl.h"
#include "quantize/grid.h"

#include <span>

namespace wherry {

struct BuiltinRule {
  enum Kind {
    weighted,    // input, weight, bias: the weight has a scale a channel, the bias theirs times the input's
    own_range,   // inputs and output have scales of their own
    same_scale,  // all real inputs and outputs have one grid
    fixed,       // the output's grid is the kernel's
  };
  std::string_view builtins;  // one or more that share the row
  Kind kind = own_range;
  bool int16 = true;                      // a kernel with 16-bit activations exists
  int input = 0, weight = -1, bias = -1;  // operands' places
  int axis = 0;                           // the weight's, that has the scales
  Grid output8 = {}, output16 = {};       // of fixed
};

std::span<const BuiltinRule> builtin_rules();
// nullptr: no integer kernel.
const BuiltinRule* rule_of(std::string_view builtin);

// Whether a node computes with reals at all: something that it takes or gives is a float32 tensor.
bool is_real(const TflGraph& graph, const TflNode& node);
inline const TflTensor* tensor_at(const TflGraph& graph, int id) { return id < 0 ? nullptr : &graph.tensors[static_cast<std::size_t>(id)]; }
inline bool is_real_tensor(const TflGraph& graph, int id) { return id >= 0 && tensor_at(graph, id)->dtype == DType::float32; }
// A convolution or matrix product whose weight is a constant; else the operands are activations.
const BuiltinRule* weighted_rule(const TflGraph& graph, const TflNode& node);
// Multiply-accumulates of one inference: of weighted nodes and BATCH_MATMUL, 0 for others.
double macs(const TflGraph& graph, const TflNode& node);

}  // namespace wherry
