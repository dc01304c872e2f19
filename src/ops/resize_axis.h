// Resizing along one axis as a product with a fixed matrix: what ONNX's and PyTorch's rules share.
#pragma once

#include "ir/builder.h"

#include <map>

namespace wherry::ops::resize {

// What elements of the input count in one of the result, by position; those that are missing count nothing.
using Row = std::map<std::int64_t, double>;
void normalise(Row& row);  // so that all together count 1

double linear_kernel(double distance);
double cubic_kernel(double distance, double a);

// The result's element o is row o times x along that axis: x itself, a gather where each row is one element, else a product.
// Needs: the axis's size is known.
ValueId along(Builder& b, ValueId x, std::int64_t axis, const std::vector<Row>& rows);

}  // namespace wherry::ops::resize
