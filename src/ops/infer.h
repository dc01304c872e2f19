// Shape and type rules that many operators share. A user's fault is thrown as TypeFault.
#pragma once

#include "ir/op_def.h"

namespace wherry::infer {

[[noreturn]] void fault(std::string message, std::string code = "E501");

std::vector<Type> same_as_first(const OpTypes& t);
std::vector<Type> float_same_as_first(const OpTypes& t);  // the first input must be of a float type (E502)
std::vector<Type> broadcast(const OpTypes& t);            // all inputs broadcast; the first non-scalar-constant's dtype

// NumPy's rule over two shapes; a fault names both.
Shape broadcast_shapes(const Shape& a, const Shape& b);
// -rank ≤ dim < rank → 0 ≤ dim < rank; a fault names the attribute.
int axis(std::int64_t dim, int rank);
// One output size of a sliding window: floor((size + before + after - dilation (kernel - 1) - 1) / stride) + 1.
Dim window(const Dim& size, std::int64_t kernel, std::int64_t stride, std::int64_t before, std::int64_t after, std::int64_t dilation);
// PyTorch's convolution padding attribute for `spatial` axes → before/after for each: [p…], [b0, a0, b1, a1, …], "same", "valid".
std::vector<std::pair<std::int64_t, std::int64_t>> padding(const Attr& attr, int spatial, const Ints& kernel, const Ints& stride,
                                                           const Ints& dilation);
void needs_rank(const OpTypes& t, std::string_view input, int rank);
void needs_float(const OpTypes& t, std::string_view input);
// A float x whose shape ends in the attribute normalized_shape; all other inputs have that shape.
std::vector<Type> over_last_axes(const OpTypes& t);

}  // namespace wherry::infer
