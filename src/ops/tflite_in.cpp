#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <numeric>

namespace wherry::ops::tfl_in {

bool has(const ForeignNode& node, std::size_t place) {
  const ForeignArg* arg = node.find(std::to_string(place));
  return arg && std::holds_alternative<ValueId>(arg->value) && std::get<ValueId>(arg->value) != absent;
}

ValueId input(const ForeignNode& node, std::size_t place) {
  if (!has(node, place)) refuse(node, fmt::format("'{}' lacks its input {}", node.target, place));
  return std::get<ValueId>(node.find(std::to_string(place))->value);
}

std::vector<ValueId> inputs(const ForeignNode& node) {
  std::vector<ValueId> all;
  for (std::size_t i = 0; has(node, i); ++i) all.push_back(input(node, i));
  return all;
}

const Tensor& constant(Builder& b, const ForeignNode& node, std::size_t place) {
  const ValueId value = input(node, place);
  if (!b.graph().is_constant(value))
    refuse(node, fmt::format("input {} of '{}' is computed by the model; a fixed value is needed", place, node.target));
  return *b.graph()[value].constant;
}

Ints constant_ints(Builder& b, const ForeignNode& node, std::size_t place) {
  const Tensor& tensor = constant(b, node, place);
  if (is_float(tensor.dtype())) refuse(node, fmt::format("input {} of '{}' is no list of integers", place, node.target));
  return tensor.to_ints();
}

Sizes shape_of(Builder& b, const ForeignNode& node, ValueId value) {
  const Shape& shape = b.type(value).shape;
  if (!is_static(shape)) refuse(node, fmt::format("'{}' on a tensor with open sizes", node.target));
  return sizes(shape);
}

ValueId permuted(Builder& b, ValueId value, const Ints& dims) {
  if (std::is_sorted(dims.begin(), dims.end())) return value;
  if (const std::optional<Tensor>& tensor = b.graph()[value].constant)
    return b.constant(tensor->permuted({dims.begin(), dims.end()}), b.graph()[value].name);
  return b.node(*b.ops().find("permute"), {value}, {Attr(dims)}, b.path() + ".permute")[0];
}

ValueId channels_first(Builder& b, ValueId value) {
  const auto rank = static_cast<std::int64_t>(b.type(value).shape.size());
  Ints dims = {0, rank - 1};
  for (std::int64_t i = 1; i + 1 < rank; ++i) dims.push_back(i);
  return rank < 3 ? value : permuted(b, value, dims);
}

ValueId channels_last(Builder& b, ValueId value) {
  const auto rank = static_cast<std::int64_t>(b.type(value).shape.size());
  Ints dims = {0};
  for (std::int64_t i = 2; i < rank; ++i) dims.push_back(i);
  dims.push_back(1);
  return rank < 3 ? value : permuted(b, value, dims);
}

ValueId reshaped(Builder& b, ValueId value, const Sizes& sizes) {
  if (b.type(value).shape == to_shape(sizes)) return value;
  if (const std::optional<Tensor>& tensor = b.graph()[value].constant) return b.constant(tensor->reshaped(sizes), b.graph()[value].name);
  return b("reshape", {value}, {{"shape", Ints(sizes)}});
}

ValueId as_stated(Builder& b, const ForeignNode& node, ValueId value) {
  const Shape& shape = node.output_types.at(0).shape;
  if (b.type(value).shape == shape) return value;
  const Dim had = element_count(b.type(value).shape), wanted = element_count(shape);
  if (had != wanted) refuse(node, fmt::format("'{}' gives {} elements and states the shape {}", node.target, had.text(), text(shape)));
  return reshaped(b, value, sizes(shape));
}

std::vector<Sides> sides(const ForeignNode& node, const Sizes& x, std::int64_t height, std::int64_t width) {
  const std::string kind = word(node, "padding", "SAME");
  if (kind != "SAME" && kind != "VALID") refuse(node, fmt::format("'{}' with the padding {}", node.target, kind));
  const std::int64_t kernels[] = {height, width};
  const char *strides[] = {"stride_h", "stride_w"}, *dilations[] = {"dilation_h_factor", "dilation_w_factor"};
  std::vector<Sides> out(2);
  for (std::size_t i = 0; i < 2 && kind == "SAME"; ++i) {
    const std::int64_t stride = integer(node, strides[i], 1), extent = integer(node, dilations[i], 1) * (kernels[i] - 1) + 1;
    if (stride < 1) refuse(node, fmt::format("'{}' with the stride {}", node.target, stride));
    const std::int64_t size = x.at(i + 1), steps = (size + stride - 1) / stride;
    const std::int64_t total = std::max<std::int64_t>((steps - 1) * stride + extent - size, 0);
    out[i] = {total / 2, total - total / 2};
  }
  return out;
}

bool even(const std::vector<Sides>& sides) {
  return std::all_of(sides.begin(), sides.end(), [](const Sides& s) { return s.before == s.after; });
}

Ints padding(const std::vector<Sides>& s) {
  if (even(s)) return {s[0].before, s[1].before};
  return {s[0].before, s[0].after, s[1].before, s[1].after};
}

Ints pad_list(const std::vector<Sides>& s) { return {s[1].before, s[1].after, s[0].before, s[0].after}; }

}  // namespace wherry::ops::tfl_in
