// ONNX's operators on integers that stand for reals, and on integers as such: real ones between dequantize and quantize, and exact sums.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::onnx_quantized {

std::vector<ForeignMap> maps();

}  // namespace wherry::ops::onnx_quantized
