#include "passes/convolution.h"

#include <algorithm>
#include <array>

namespace wherry {

namespace {

ValueId input(const Node& node, std::string_view name) {
  const auto index = static_cast<std::size_t>(node.op->input_index(name));
  return index < node.inputs.size() ? node.inputs[index] : absent;
}

bool is_float32(const Graph& graph, ValueId v) { return graph.is_constant(v) && graph.type(v).dtype == DType::float32; }

}  // namespace

bool Convolution::pointwise() const {
  const Sizes& sizes = weight.sizes();
  return std::all_of(sizes.begin() + 2, sizes.end(), [](std::int64_t k) { return k == 1; });
}

std::optional<Convolution> as_convolution(const Graph& graph, const Node& node) {
  static const std::array<std::string_view, 5> names = {"conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "linear"};
  if (std::find(names.begin(), names.end(), node.op->name) == names.end()) return {};
  const ValueId weight = input(node, "weight"), bias = input(node, "bias");
  if (!is_float32(graph, weight) || (bias != absent && !is_float32(graph, bias))) return {};
  Convolution conv{.node = &node, .weight = *graph[weight].constant, .bias = {}};
  if (bias != absent) conv.bias = *graph[bias].constant;
  conv.transposed = node.op->name.starts_with("conv_transpose");
  if (node.op->attr_index("groups") >= 0) conv.groups = node.integer("groups");
  const Sizes& sizes = conv.weight.sizes();
  conv.in = conv.transposed ? sizes[0] : sizes[1] * conv.groups;
  conv.out = conv.transposed ? sizes[1] * conv.groups : sizes[0];
  if (node.op->name == "linear") conv.channel_axis = static_cast<int>(graph.type(node.outputs[0]).shape.size()) - 1;
  return conv;
}

ValueId add_changed(Rewriter& rw, const Convolution& conv, const Tensor& weight, const std::optional<Tensor>& bias, std::int64_t groups) {
  const Node& node = *conv.node;
  const auto changed_key = [&](std::string_view name) {
    const ValueId old = input(node, name);
    return folded_key(old == absent ? fmt::format("{}.{}", node.path, name) : rw.old()[old].name);
  };
  Builder& builder = rw.builder();
  const auto put = [&](std::string_view name, const Tensor& before, const Tensor& after, bool had) {
    const bool same = had && before.storage() == after.storage() && before.strides() == after.strides();  // the old key stays true
    return same ? rw[input(node, name)] : builder.constant(after, changed_key(name));
  };
  const ValueId w = put("weight", conv.weight, weight, true);
  const ValueId b = bias ? put("bias", conv.bias.value_or(Tensor()), *bias, conv.bias.has_value()) : absent;
  std::vector<Attr> attrs = node.attrs;
  if (const int index = node.op->attr_index("groups"); index >= 0) attrs[static_cast<std::size_t>(index)] = groups;
  builder.at(node.path, node.source);
  return builder.node(*node.op, {rw[node.inputs[0]], w, b}, std::move(attrs), node.path)[0];
}

std::string folded_key(const std::string& key) { return key.ends_with(".folded") ? key : key + ".folded"; }

Tensor taken(const Tensor& tensor, std::size_t axis, const std::vector<int>& index) {
  const Tensor dense = tensor.contiguous();
  Sizes sizes = dense.sizes();
  const std::int64_t before = sizes[axis], after = static_cast<std::int64_t>(index.size());
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < sizes.size(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : sizes[i];
  sizes[axis] = after;
  Tensor result = Tensor::allocate(DType::float32, sizes);
  const float* from = dense.as<float>().data();
  float* to = result.mutable_as<float>().data();
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < after; ++i)
      std::copy_n(from + (o * before + index[static_cast<std::size_t>(i)]) * inner, inner, to + (o * after + i) * inner);
  return result;
}

}  // namespace wherry
