// ONNX's pooling: padding that is uneven or larger than half of the window, windows with gaps, and the places of maxima become our own
// pooling with operators around it.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::onnx_pool {

ForeignMap max_map();
std::vector<ForeignMap> average_maps();

}  // namespace wherry::ops::onnx_pool
