#include "ops/keras_in.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::ops::keras_in {

ValueId variable(const ForeignNode& node, int place) {
  const std::string name = fmt::format("w{}", place);
  return node.find(name) ? node.value(name) : absent;
}

Ints per_axis(const ForeignNode& node, std::string_view entry, std::size_t n, std::int64_t fallback) {
  const Attr* attr = node.attr(entry);
  if (!attr || std::holds_alternative<None>(*attr)) return Ints(n, fallback);
  if (const auto* number = std::get_if<std::int64_t>(attr)) return Ints(n, *number);
  const auto* list = std::get_if<Ints>(attr);
  if (!list || list->size() != n) refuse(node, fmt::format("{} {} of '{}' is no list of {} numbers", entry, text(*attr), node.target, n));
  return *list;
}

std::vector<tfl_in::Sides> sides(Builder& b, const ForeignNode& node, ValueId x, const Ints& kernel, const Ints& stride,
                                 const Ints& dilation) {
  const std::string padding = word(node, "padding", "valid");
  if (padding != "valid" && padding != "same") refuse(node, fmt::format("padding '{}' of '{}'", padding, node.target));
  const Sizes in = tfl_in::shape_of(b, node, x);
  if (in.size() != kernel.size() + 2) refuse(node, fmt::format("'{}' of {}", node.target, text(to_shape(in))));
  std::vector<tfl_in::Sides> list(kernel.size());
  for (std::size_t i = 0; i < kernel.size() && padding == "same"; ++i) {
    const std::int64_t size = in[i + 1], out = (size + stride[i] - 1) / stride[i];
    const std::int64_t total = std::max<std::int64_t>((out - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size, 0);
    list[i] = {total / 2, total - total / 2};
  }
  return list;
}

ValueId padded(Builder& b, ValueId x, const std::vector<tfl_in::Sides>& sides, double fill, Ints& padding) {
  padding.clear();
  for (const tfl_in::Sides& s : sides) padding.push_back(s.before);
  if (tfl_in::even(sides)) return x;
  std::fill(padding.begin(), padding.end(), 0);
  Ints ends;
  for (auto s = sides.rbegin(); s != sides.rend(); ++s) ends.insert(ends.end(), {s->before, s->after});
  return b("pad", {x}, {{"pad", ends}, {"value", fill}});
}

ValueId activation(Builder& b, const ForeignNode& node, ValueId x, const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> same[] = {{"relu", "relu"},
                                                                    {"relu6", "relu6"},
                                                                    {"sigmoid", "sigmoid"},
                                                                    {"tanh", "tanh"},
                                                                    {"silu", "silu"},
                                                                    {"swish", "silu"},
                                                                    {"gelu", "gelu"},
                                                                    {"elu", "elu"},
                                                                    {"selu", "selu"},
                                                                    {"softplus", "softplus"},
                                                                    {"softsign", "softsign"},
                                                                    {"mish", "mish"},
                                                                    {"exponential", "exp"},
                                                                    {"hard_sigmoid", "hardsigmoid"},
                                                                    {"hard_silu", "hardswish"},
                                                                    {"hard_swish", "hardswish"},
                                                                    {"log_sigmoid", "log_sigmoid"}};
  if (name == "linear" || name.empty()) return x;
  if (name == "leaky_relu") return b("leaky_relu", {x}, {{"negative_slope", 0.2}});
  if (name == "softmax" || name == "log_softmax") return b(name, {x}, {{"dim", std::int64_t{-1}}});
  for (const auto& [theirs, ours] : same)
    if (theirs == name) return b(ours, {x});
  refuse(node, fmt::format("the activation '{}' of '{}' is not known", name, node.target));
}

}  // namespace wherry::ops::keras_in
