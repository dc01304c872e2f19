#include "ops/spatial.h"

#include "base/check.h"
#include "ops/infer.h"

#include <fmt/format.h>

namespace wherry {

namespace infer {

const Ints& per_axis(const Node& node, std::string_view attr, int n) {
  const Ints& list = node.ints(attr);
  if (static_cast<int>(list.size()) != n) fault(fmt::format("{} {} has {} numbers; it takes {}", attr, text(Attr(list)), list.size(), n));
  bounded(attr, list);
  return list;
}

void bounded(std::string_view what, const Ints& list) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  for (const std::int64_t v : list)
    if (v > most || v < -most) fault(fmt::format("{} {} holds a number that no tensor needs", what, text(Attr(list))), "E503");
}

std::vector<Window> conv_windows(const Node& node, const Ints& kernel) {
  bounded("kernel size", kernel);
  if (const auto* list = std::get_if<Ints>(&node.attr("padding"))) bounded("padding", *list);
  const int n = static_cast<int>(kernel.size());
  const Ints& stride = per_axis(node, "stride", n);
  const Ints& dilation = per_axis(node, "dilation", n);
  const auto pads = padding(node.attr("padding"), n, kernel, stride, dilation);
  std::vector<Window> out;
  for (std::size_t i = 0; i < kernel.size(); ++i) out.push_back({kernel[i], stride[i], dilation[i], pads[i].first, pads[i].second});
  return out;
}

Dim slide(const Dim& size, const Window& w) { return window(size, w.kernel, w.stride, w.before, w.after, w.dilation); }

void needs_vector(const OpTypes& t, std::string_view input, const Dim& size) {
  const Type* type = t.find(input);
  if (type && type->shape != Shape{size}) fault(fmt::format("{} is {}; it needs the shape [{}]", input, text(*type), size.text()));
}

}  // namespace infer

namespace {

template <class T>
const T* hyper_value(const Hyper& hyper, std::string_view name) {
  const auto it = hyper.find(name);
  return it == hyper.end() ? nullptr : std::get_if<T>(&it->second);
}

}  // namespace

std::int64_t hyper_int(const Hyper& hyper, std::string_view name, std::int64_t fallback) {
  const auto* value = hyper_value<std::int64_t>(hyper, name);
  return value ? *value : fallback;
}

bool hyper_flag(const Hyper& hyper, std::string_view name, bool fallback) {
  const auto* value = hyper_value<bool>(hyper, name);
  return value ? *value : fallback;
}

const Ints& hyper_ints(const Hyper& hyper, std::string_view name) {
  const auto* value = hyper_value<Ints>(hyper, name);
  WHERRY_CHECK(value, "hyperparameter '{}' is absent or no list of ints", name);
  return *value;
}

Shape left_out() { return {Dim(-1)}; }

std::int64_t known_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const Dim& d : shape) count *= d.known() ? d.size() : 1;
  return count;
}

bool has_input(const Node& node, std::string_view input) {
  const auto index = static_cast<std::size_t>(node.op->input_index(input));
  return index < node.inputs.size() && node.inputs[index] != absent;
}

const Type& input_type(const Graph& graph, const Node& node, std::string_view input) {
  WHERRY_CHECK(has_input(node, input), "{} has no input '{}'", node.path, input);
  return graph.type(node.inputs[static_cast<std::size_t>(node.op->input_index(input))]);
}

}  // namespace wherry
