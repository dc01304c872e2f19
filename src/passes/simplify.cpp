#include "passes/simplify.h"

#include "ir/tensor.h"

#include <algorithm>
#include <array>

namespace wherry {

namespace {

// The new graph as it grows: who makes a value.
struct Fresh {
  Rewriter& rw;
  std::vector<int> producer = {};
  std::size_t seen = 0;

  const Node* maker(ValueId v) {
    const Graph& graph = rw.graph();
    producer.resize(graph.values.size(), -1);
    for (; seen < graph.nodes.size(); ++seen)
      for (const ValueId out : graph.nodes[seen].outputs) producer[static_cast<std::size_t>(out)] = static_cast<int>(seen);
    const int index = producer[static_cast<std::size_t>(v)];
    return index < 0 ? nullptr : &graph.nodes[static_cast<std::size_t>(index)];
  }
  const Type& type(ValueId v) const { return rw.graph().type(v); }
  const Tensor* constant(ValueId v) const { return rw.graph().is_constant(v) ? &*rw.graph()[v].constant : nullptr; }
};

// A node over the new graph's values (and its output's type) → the value that stands for its output, or absent.
using RuleFn = ValueId (*)(Fresh&, const Node&, const Type& out);

bool is_any_of(const Node* node, std::initializer_list<std::string_view> names) {
  return node && std::find(names.begin(), names.end(), node->op->name) != names.end();
}

bool only_recounts(const Node* node) { return is_any_of(node, {"reshape", "flatten", "squeeze", "unsqueeze", "unflatten"}); }

ValueId reshapes(Fresh& f, const Node& node, const Type& out) {
  if (!only_recounts(&node)) return absent;
  ValueId x = node.inputs[0];
  const Node* before = f.maker(x);
  if (only_recounts(before)) x = before->inputs[0];
  if (f.type(x) == out) return x;
  if (x == node.inputs[0]) return absent;
  Ints shape;
  for (const Dim& d : out.shape) shape.push_back(d.known() ? d.size() : -1);
  return std::count(shape.begin(), shape.end(), -1) > 1 ? absent : f.rw.builder()("reshape", {x}, {{"shape", shape}});
}

// Axis i of the result is axis dims[i] of the input; empty where the node is no permutation.
Ints permutation(const Node* node, std::size_t rank) {
  const auto axis = [&](std::int64_t d) { return d < 0 ? d + static_cast<std::int64_t>(rank) : d; };
  Ints dims;
  if (is_any_of(node, {"permute"})) {
    for (const std::int64_t d : node->ints("dims")) dims.push_back(axis(d));
  } else if (is_any_of(node, {"transpose"}) && rank > 0) {
    for (std::size_t i = 0; i < rank; ++i) dims.push_back(static_cast<std::int64_t>(i));
    std::swap(dims[static_cast<std::size_t>(axis(node->integer("dim0")))], dims[static_cast<std::size_t>(axis(node->integer("dim1")))]);
  }
  return dims;
}

ValueId permutes(Fresh& f, const Node& node, const Type& out) {
  Ints dims = permutation(&node, out.shape.size());
  if (dims.empty()) return absent;
  ValueId x = node.inputs[0];
  const Node* before = f.maker(x);
  if (const Ints inner = permutation(before, out.shape.size()); !inner.empty()) {
    for (std::int64_t& d : dims) d = inner[static_cast<std::size_t>(d)];
    x = before->inputs[0];
  }
  if (std::is_sorted(dims.begin(), dims.end())) return x;
  return x == node.inputs[0] ? absent : f.rw.builder()("permute", {x}, {{"dims", dims}});
}

ValueId same_casts(Fresh& f, const Node& node, const Type& out) {
  return is_any_of(&node, {"cast"}) && f.type(node.inputs[0]) == out ? node.inputs[0] : absent;
}

bool all_equal(const Tensor* tensor, double value) {
  if (!tensor || tensor->count() > 4096) return false;
  for (std::int64_t i = 0; i < tensor->count(); ++i)
    if (tensor->item(i) != value) return false;
  return true;
}

// x + 0, 0 + x, x - 0, x * 1, 1 * x, x / 1
ValueId neutral_arithmetic(Fresh& f, const Node& node, const Type& out) {
  if (!is_any_of(&node, {"add", "sub", "mul", "div"}) || (node.op->name == "div" && !node.is_none("rounding_mode"))) return absent;
  const double neutral = is_any_of(&node, {"add", "sub"}) ? 0 : 1;
  if (all_equal(f.constant(node.inputs[1]), neutral) && f.type(node.inputs[0]) == out) return node.inputs[0];
  const bool commutes = is_any_of(&node, {"add", "mul"});
  return commutes && all_equal(f.constant(node.inputs[0]), neutral) && f.type(node.inputs[1]) == out ? node.inputs[1] : absent;
}

ValueId repeated_relus(Fresh& f, const Node& node, const Type&) {
  if (!is_any_of(&node, {"relu", "relu6"})) return absent;
  const Node* before = f.maker(node.inputs[0]);
  if (!is_any_of(before, {"relu", "relu6"})) return absent;
  if (node.op->name == "relu" || before->op->name == "relu6") return node.inputs[0];
  return f.rw.builder()("relu6", {before->inputs[0]});
}

bool all_at_least_zero(const Ints& list) {
  return std::all_of(list.begin(), list.end(), [](std::int64_t n) { return n >= 0; });
}

ValueId pads(Fresh& f, const Node& node, const Type& out) {
  if (!is_any_of(&node, {"pad"})) return absent;
  if (f.type(node.inputs[0]) == out && all_at_least_zero(node.ints("pad"))) return node.inputs[0];
  const Node* before = f.maker(node.inputs[0]);
  if (!is_any_of(before, {"pad"}) || node.string("mode") != "constant" || before->string("mode") != "constant" ||
      node.number("value") != before->number("value"))
    return absent;
  Ints sum = node.ints("pad"), inner = before->ints("pad");  // pairs, from the last axis backwards
  if (!all_at_least_zero(sum) || !all_at_least_zero(inner)) return absent;
  sum.resize(std::max(sum.size(), inner.size()));
  for (std::size_t i = 0; i < inner.size(); ++i) sum[i] += inner[i];
  return f.rw.builder()("pad", {before->inputs[0]}, {{"pad", sum}, {"value", node.number("value")}});
}

ValueId expanded_operands(Fresh& f, const Node& node, const Type& out) {
  if (!is_any_of(&node, {"add", "sub", "mul", "div", "maximum", "minimum", "pow"})) return absent;
  std::vector<ValueId> inputs = node.inputs;
  for (const std::size_t i : {0UL, 1UL})
    if (const Node* before = f.maker(inputs[i]); is_any_of(before, {"expand"}) && f.type(inputs[1 - i]).shape == out.shape)
      inputs[i] = before->inputs[0];
  return inputs == node.inputs ? absent : f.rw.builder().node(*node.op, inputs, node.attrs, node.path)[0];
}

constexpr std::array<RuleFn, 7> rules = {reshapes, permutes, same_casts, neutral_arithmetic, repeated_relus, pads, expanded_operands};

}  // namespace

Graph simplify(const Graph& graph, const OpTable& ops) {
  Rewriter rw(graph, ops);
  Fresh fresh{rw};
  for (const Node& node : graph.nodes) {
    Node seen = node;
    for (ValueId& v : seen.inputs) v = rw[v];
    rw.builder().at(node.path, node.source);
    ValueId result = absent;
    const std::size_t nodes = rw.graph().nodes.size();
    for (const RuleFn rule : rules)
      if (result == absent) result = rule(fresh, seen, graph.type(node.outputs[0]));
    if (result == absent)
      rw.copy(node);
    else if (rw.graph().nodes.size() > nodes)
      rw.replace(node, {result});
    else
      rw.map(node.outputs[0], result);
  }
  return rw.finish();
}

}  // namespace wherry
