#include "lower/slot_rows.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/op_def.h"

#include <fmt/format.h>

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

// Every output has as many axes as the order names: only then can the outputs lie as the inputs do.
bool keeps_rank(const Graph& graph, const Node& node, std::size_t rank) {
  return std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return graph.type(v).shape.size() == rank; });
}

bool same_ranks(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId v) { return v == absent || graph.type(v).shape.size() == graph.type(node.inputs[0]).shape.size(); });
}

std::string input_types(const Graph& graph, const Node& node) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] != absent)
      parts.push_back(
          fmt::format("{}: {}", node.op->inputs[std::min(i, node.op->inputs.size() - 1)].name, text(graph.type(node.inputs[i]))));
  return join(parts, ", ");
}

}  // namespace

std::vector<SlotPair> slot_pairs(const Node& node, std::string_view pairs, const Order& order) {
  std::vector<SlotPair> result;
  for (const std::string& pair : split(pairs, ' ')) {
    if (pair.empty()) continue;
    const std::size_t sign = pair.find('=');
    WHERRY_CHECK(sign != std::string::npos, "'{}' of {} is no pair", pair, node.op->name);
    const std::string source = pair.substr(sign + 1);
    SlotPair option{pair.substr(0, sign), {}};
    option.value = source.starts_with('#') ? literal(source.substr(1)) : node.attr(source);
    if (!source.starts_with('#')) option.attribute = source;
    if (node.op->layout.kind == LayoutRule::axis && node.op->layout.attr == source) {
      auto& axis = std::get<std::int64_t>(option.value);
      option.attribute.clear();
      axis = order[static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(order.size()) : axis)];
    }
    result.push_back(std::move(option));
  }
  return result;
}

LaidOut lay_out(LayoutLowering& lower, const Node& node) {
  const Graph& graph = lower.graph;
  LaidOut laid;
  LayoutRule::Kind kind = node.op->layout.kind;
  if (kind == LayoutRule::axis && !(same_ranks(graph, node) && keeps_rank(graph, node, graph.type(node.inputs[0]).shape.size())))
    kind = LayoutRule::fixed;
  if (kind == LayoutRule::any || kind == LayoutRule::axis) {
    Order common;
    laid.inputs = lower.same_order(node.inputs, common);
    if (keeps_rank(graph, node, common.size())) laid.order = common;
  } else {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v == absent)
        laid.inputs.push_back(-1);
      else if (kind == LayoutRule::spatial && i == 0)
        laid.inputs.push_back(lower.channels_last(v));
      else
        laid.inputs.push_back(lower.source_order(v));
    }
    if (kind == LayoutRule::spatial)
      laid.order = LayoutLowering::channels_last_order(static_cast<int>(graph.type(node.outputs[0]).shape.size()));
  }
  for (const ValueId v : node.outputs) {
    Type type = graph.type(v);
    if (laid.order) type.shape = to_shape(ordered(sizes(type.shape), *laid.order));
    laid.outs.push_back(std::move(type));
  }
  laid.of_first = laid.order.value_or(identity_order(static_cast<int>(graph.type(node.inputs[0]).shape.size())));
  return laid;
}

void give_laid_out(LayoutLowering& lower, const Node& node, const std::vector<int>& made, const LaidOut& laid) {
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (laid.order)
      lower.give(node.outputs[i], made[i], *laid.order);
    else
      lower.give_source_order(node.outputs[i], made[i]);
  }
}

Diagnostic refusal(const Graph& graph, const Node& node, std::string_view target, std::string_view slot, const std::string& reason) {
  return {.code = "E202",
          .message = fmt::format("'{}' cannot become {}: {}", node.op->name, target, reason),
          .at = node.where(),
          .in = input_types(graph, node),
          .next = fmt::format("'wherry ops {}' shows what the operator is for each target; docs/adding-an-operator.md shows how to give it "
                              "a {} slot or an expansion",
                              node.op->name, slot)};
}

}  // namespace wherry
