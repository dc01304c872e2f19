// ONNX's Attention and RotaryEmbedding in operators of ours. Attention without a mask of its own, caps and padded keys is
// scaled_dot_product_attention.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::onnx_attention {

std::vector<ForeignMap> maps();

}  // namespace wherry::ops::onnx_attention
