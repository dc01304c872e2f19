// Resizing along one axis as a product with a fixed matrix: what ONNX's and PyTorch's rules share.
#pragma once

#include "ir/builder.h"

namespace wherry::ops::resize {

using Row = std::vector<double>;  // what each element of the input counts in one of the result

double linear_kernel(double distance);
double cubic_kernel(double distance, double a);

// The result's element o is row o times x along that axis: x itself, a gather where each row is one element, else a product.
ValueId along(Builder& b, ValueId x, std::int64_t axis, const std::vector<Row>& rows);

}  // namespace wherry::ops::resize
