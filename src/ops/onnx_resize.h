// ONNX's Resize and Upsample: every mode, on any axes. What PyTorch's interpolate can say becomes that; all else is, along each axis,
// a product with a fixed matrix.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::onnx_resize {

std::vector<ForeignMap> maps();

}  // namespace wherry::ops::onnx_resize
