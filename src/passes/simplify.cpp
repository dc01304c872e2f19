#include "passes/simplify.h"

#include "ir/tensor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

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

// One end limited after the other.
ValueId repeated_clamps(Fresh& f, const Node& node, const Type&) {
  const Node* before = is_any_of(&node, {"clamp"}) ? f.maker(node.inputs[0]) : nullptr;
  if (!is_any_of(before, {"clamp"})) return absent;
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const auto end = [](const Node& n, const char* name, double open) { return n.is_none(name) ? open : n.number(name); };
  const double least = end(node, "min", -infinite), most = end(node, "max", infinite);
  const double inner_least = end(*before, "min", -infinite), inner_most = end(*before, "max", infinite);
  if (!(inner_least <= inner_most && least <= most)) return absent;
  const double low = std::clamp(inner_least, least, most), high = std::clamp(inner_most, least, most);
  const auto written = [](double number) { return std::isinf(number) ? Attr(None{}) : Attr(number); };
  return f.rw.builder()("clamp", {before->inputs[0]}, {{"min", written(low)}, {"max", written(high)}});
}

// x + 3 between 0 and 6 → x; absent where the node is something else.
ValueId argument_of_ramp(Fresh& f, const Node* node) {
  const auto between = [&](const char* low, const char* high) {
    return !node->is_none(low) && !node->is_none(high) && node->number(low) == 0 && node->number(high) == 6;
  };
  const bool cut = is_any_of(node, {"relu6"}) || (is_any_of(node, {"clamp"}) && between("min", "max")) ||
                   (is_any_of(node, {"hardtanh"}) && between("min_val", "max_val"));
  const Node* sum = cut ? f.maker(node->inputs[0]) : nullptr;
  if (!is_any_of(sum, {"add"})) return absent;
  for (const std::size_t i : {0UL, 1UL})
    if (all_equal(f.constant(sum->inputs[i]), 3) && f.type(sum->inputs[1 - i]) == f.type(sum->outputs[0])) return sum->inputs[1 - i];
  return absent;
}

// The factor that a node takes six of: y / 6 or y * (1 / 6).
ValueId sixth(Fresh& f, const Node& node) {
  const auto is = [&](std::size_t i, double value) { return all_equal(f.constant(node.inputs[i]), value); };
  if (is_any_of(&node, {"div"}) && node.is_none("rounding_mode")) return is(1, 6) ? node.inputs[0] : absent;
  if (!is_any_of(&node, {"mul"})) return absent;
  constexpr double part = static_cast<double>(1.0F / 6.0F);
  return is(1, part) ? node.inputs[0] : is(0, part) ? node.inputs[1] : absent;
}

// hardsigmoid and hardswish written out: relu6(x + 3) / 6, x * relu6(x + 3) / 6 and x * hardsigmoid(x).
ValueId hard_activations(Fresh& f, const Node& node, const Type& out) {
  if (out.dtype != DType::float32) return absent;
  const auto other = [](const Node* product, std::size_t i) { return product->inputs[1 - i]; };
  if (is_any_of(&node, {"mul"}))
    for (const std::size_t i : {0UL, 1UL})
      if (const Node* gate = f.maker(node.inputs[i]); is_any_of(gate, {"hardsigmoid"}) && gate->inputs[0] == other(&node, i))
        return f.rw.builder()("hardswish", {gate->inputs[0]});
  const ValueId six = sixth(f, node);
  const Node* before = six == absent ? nullptr : f.maker(six);
  if (const ValueId x = argument_of_ramp(f, before); x != absent) return f.rw.builder()("hardsigmoid", {x});
  if (!is_any_of(before, {"mul"})) return absent;
  for (const std::size_t i : {0UL, 1UL})
    if (const ValueId x = argument_of_ramp(f, f.maker(before->inputs[i])); x != absent && x == other(before, i))
      return f.rw.builder()("hardswish", {x});
  return absent;
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

constexpr std::array<RuleFn, 9> rules = {reshapes,        permutes, same_casts,        neutral_arithmetic, repeated_relus,
                                         repeated_clamps, pads,     expanded_operands, hard_activations};

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
