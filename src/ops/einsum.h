// Sums of products by Einstein's notation, "bij,bjk->bik", in permutes, reshapes and matrix products.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::einsum {

std::vector<ValueId> convert_torch(Builder& b, const ForeignNode& node);
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node);

}  // namespace wherry::ops::einsum
