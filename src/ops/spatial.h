// What the operators over [N, C, spatial…] share: windows that slide, hyperparameters, constants.
#pragma once

#include "ir/op_def.h"

namespace wherry {

// A window along one spatial axis.
struct Window {
  std::int64_t kernel = 1, stride = 1, dilation = 1, before = 0, after = 0;
  std::int64_t extent() const { return dilation * (kernel - 1) + 1; }
};

namespace infer {

// An int list attribute with exactly one number for each of `n` axes; anything else is a fault that names it.
const Ints& per_axis(const Node& node, std::string_view attr, int n);
// Numbers beyond 2^31 are a fault, so that arithmetic with them cannot overflow.
void bounded(std::string_view what, const Ints& list);
// The windows of a convolution: attributes stride, dilation and padding, kernel sizes from the weight.
std::vector<Window> conv_windows(const Node& node, const Ints& kernel);
// Output size along an axis, with the checks of window().
Dim slide(const Dim& size, const Window& window);
// `type` is a float32-like vector of `size` elements, or absent; a fault names the input.
void needs_vector(const OpTypes& t, std::string_view input, const Dim& size);

}  // namespace infer

std::int64_t hyper_int(const Hyper& hyper, std::string_view name, std::int64_t fallback = 1);
bool hyper_flag(const Hyper& hyper, std::string_view name, bool fallback);
const Ints& hyper_ints(const Hyper& hyper, std::string_view name);
Shape left_out();  // what ParametersFn returns for a parameter that is not there

std::int64_t known_count(const Shape& shape);  // the product of the sizes, symbolic ones counted as 1
const Type& input_type(const Graph& graph, const Node& node, std::string_view input);  // Needs: present
bool has_input(const Node& node, std::string_view input);

}  // namespace wherry
