// Float graph and plan → the graph of integer operators.
#pragma once

#include "quantize/plan.h"

namespace wherry {

struct ApplyOptions {
  bool integer_borders = false;  // inputs and outputs are integers too; else a QUANTIZE and a DEQUANTIZE stand at the borders
};

struct Quantized {
  TflGraph graph;
  std::vector<int> tensors;  // by tensor of the float graph: what its producer gives here, -1 where nothing stands for it
  std::vector<int> nodes;    // by node here: the float graph's, -1 for QUANTIZE and DEQUANTIZE
};

// Needs: plan.weights has a row for each integer node with a constant weight.
Quantized apply_plan(const TflGraph& graph, const Plan& plan, const ApplyOptions& options);

TflQuantization one_scale(const Grid& grid);  // an activation's
// A bias as the kernel takes it: int32, for 16-bit activations int64, in steps of the input's scale times the channel's.
Tensor bias_codes(const QuantizedWeight& weight, const Grid& input);
TflQuantization weight_quantization(const QuantizedWeight& weight, int axis);
TflQuantization bias_quantization(const QuantizedWeight& weight, const Grid& input);

}  // namespace wherry
