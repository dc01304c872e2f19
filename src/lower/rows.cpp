#include "base/check.h"
#include "base/text.h"
#include "lower/lowering.h"

#include <algorithm>
#include <charconv>

namespace wherry {

namespace {

Attr literal(const std::string& word) {
  if (word == "true" || word == "false") return word == "true";
  std::int64_t number = 0;
  const char* end = word.data() + word.size();
  if (const auto [stop, error] = std::from_chars(word.data(), end, number); error == std::errc() && stop == end) return number;
  return word;
}

// "alpha=negative_slope axis=dim fused_activation_function=#NONE": an attribute's value, the axis as the tensors lie, or a literal.
std::vector<TflOption> options_of(const Node& node, const Order& order) {
  std::vector<TflOption> options;
  for (const std::string& pair : split(node.op->tflite.options, ' ')) {
    if (pair.empty()) continue;
    const std::size_t sign = pair.find('=');
    WHERRY_CHECK(sign != std::string::npos, "option '{}' of {} is no pair", pair, node.op->name);
    const std::string source = pair.substr(sign + 1);
    TflOption option{pair.substr(0, sign), {}};
    option.value = source.starts_with('#') ? literal(source.substr(1)) : node.attr(source);
    if (node.op->layout.kind == LayoutRule::axis && node.op->layout.attr == source) {
      auto& axis = std::get<std::int64_t>(option.value);
      axis = order[static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(order.size()) : axis)];
    }
    options.push_back(std::move(option));
  }
  return options;
}

// Every output has as many axes as the order names: only then can the outputs lie as the inputs do.
bool keeps_rank(const Graph& graph, const Node& node, std::size_t rank) {
  return std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return graph.type(v).shape.size() == rank; });
}

bool same_ranks(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId v) { return v == absent || graph.type(v).shape.size() == graph.type(node.inputs[0]).shape.size(); });
}

}  // namespace

void lower_by_layout(TflLowering& lower, const Node& node) {
  const Graph& graph = lower.graph;
  std::vector<int> inputs;
  std::optional<Order> order;  // of the outputs; none: the source's own
  LayoutRule::Kind kind = node.op->layout.kind;
  if (kind == LayoutRule::axis && !(same_ranks(graph, node) && keeps_rank(graph, node, graph.type(node.inputs[0]).shape.size())))
    kind = LayoutRule::fixed;
  if (kind == LayoutRule::any || kind == LayoutRule::axis) {
    Order common;
    inputs = lower.same_order(node.inputs, common);
    if (keeps_rank(graph, node, common.size())) order = common;
  } else {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v == absent)
        inputs.push_back(-1);
      else if (kind == LayoutRule::spatial && i == 0)
        inputs.push_back(lower.channels_last(v));
      else
        inputs.push_back(lower.source_order(v));
    }
    if (kind == LayoutRule::spatial) order = TflLowering::channels_last_order(static_cast<int>(graph.type(node.outputs[0]).shape.size()));
  }
  std::vector<Type> outs;
  for (const ValueId v : node.outputs) {
    Type type = graph.type(v);
    if (order) type.shape = to_shape(ordered(sizes(type.shape), *order));
    outs.push_back(std::move(type));
  }
  const Order mapped = order.value_or(identity_order(static_cast<int>(graph.type(node.inputs[0]).shape.size())));
  const std::vector<int> made = lower.add_multi(node.op->tflite.builtin, std::move(inputs), outs, options_of(node, mapped));
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (order)
      lower.give(node.outputs[i], made[i], *order);
    else
      lower.give_source_order(node.outputs[i], made[i]);
  }
}

}  // namespace wherry
