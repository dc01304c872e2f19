// What tflite slots share about the order of axes: axis i of a source value is axis order[i] of its tensor.
#pragma once

#include "ops/tfl.h"

namespace wherry::ops {

using Order = std::vector<int>;

Order identity_order(int rank);
Type ordered(const Type& type, const Order& order);                       // the tensor's type for a source type in that order
Order without_axes(const Order& order, const std::vector<int>& removed);  // for the source axes that remain, positions closed up

}  // namespace wherry::ops
