#include "ir/builder.h"

#include "base/check.h"
#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace wherry {

namespace {

std::string describe_inputs(const Graph& graph, const Node& node) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == absent) continue;
    const std::size_t declared = std::min(i, node.op->inputs.size() - 1);
    parts.push_back(fmt::format("{}: {}", node.op->inputs[declared].name, text(graph.type(node.inputs[i]))));
  }
  return join(parts, ", ");
}

void check_sizes(const Type& type) {
  for (const Dim& d : type.shape) {
    if (!d.known()) continue;
    if (d.size() < 0) throw TypeFault{"E503", fmt::format("the result would be {}: a size is negative", text(type))};
    if (d.size() == std::numeric_limits<std::int64_t>::max()) throw TypeFault{"E503", "the result's shape overflows 64 bits"};
  }
  const Dim count = element_count(type.shape);
  if (count.known() && count.size() > (std::int64_t{1} << 40))
    throw TypeFault{"E503", fmt::format("the result would be {}: more than 2^40 elements", text(type))};
}

}  // namespace

std::vector<Type> infer_types(const Graph& graph, const Node& node) {
  std::vector<const Type*> types;
  std::vector<const Tensor*> constants;
  for (const ValueId v : node.inputs) {
    types.push_back(v == absent ? nullptr : &graph.type(v));
    constants.push_back(graph.is_constant(v) ? &*graph[v].constant : nullptr);
  }
  const OpTypes seen{node, types, constants};
  try {
    for (std::size_t i = 0; i < node.op->rules.size(); ++i)
      if (!node.op->rules[i].holds(seen))
        throw TypeFault{"E501", fmt::format("{} needs {} (rule {}.r{})", node.op->name, node.op->rules[i].text, node.op->name, i + 1)};
    std::vector<Type> result = node.op->infer(seen);
    for (const Type& type : result) check_sizes(type);
    return result;
  } catch (const TypeFault& fault) {
    fail({.code = fault.code,
          .message = fault.message,
          .at = node.where(),
          .in = describe_inputs(graph, node),
          .next = fmt::format("'wherry ops {}' shows what the operator takes", node.op->name)});
  }
}

std::string Builder::unique_path(const std::string& wanted) {
  for (; seen_nodes_ < graph_.nodes.size(); ++seen_nodes_) taken_.emplace(graph_.nodes[seen_nodes_].path, 0);
  const auto it = taken_.find(wanted);
  if (it == taken_.end()) return wanted;
  while (true) {
    std::string candidate = fmt::format("{}_{}", wanted, ++it->second);
    if (taken_.find(candidate) == taken_.end()) return candidate;
  }
}

std::vector<ValueId> Builder::node(const OpDef& op, std::vector<ValueId> inputs, std::vector<Attr> attrs, const std::string& path) {
  WHERRY_CHECK(attrs.size() == op.attrs.size(), "{} attributes for {}", attrs.size(), op.name);
  Node node{.op = &op, .inputs = std::move(inputs), .attrs = std::move(attrs), .outputs = {}, .path = unique_path(path), .source = source_};
  const bool variadic = !op.inputs.empty() && op.inputs.back().role == Role::variadic;
  if (!variadic) {
    WHERRY_CHECK(node.inputs.size() <= op.inputs.size(), "{} inputs for {}", node.inputs.size(), op.name);
    node.inputs.resize(op.inputs.size(), absent);
  }
  for (std::size_t i = 0; i < op.inputs.size() && i < node.inputs.size(); ++i) {
    const bool may_lack = op.inputs[i].role == Role::optional || op.inputs[i].role == Role::optional_parameter;
    WHERRY_CHECK(may_lack || node.inputs[i] != absent, "{} at {} lacks input '{}'", op.name, path, op.inputs[i].name);
  }
  const std::vector<Type> types = infer_types(graph_, node);
  for (std::size_t i = 0; i < types.size(); ++i)
    node.outputs.push_back(graph_.add_value({types.size() == 1 ? node.path : fmt::format("{}:{}", node.path, i), types[i], {}}));
  std::vector<ValueId> outputs = node.outputs;
  graph_.nodes.push_back(std::move(node));
  return outputs;
}

std::vector<ValueId> Builder::multi(std::string_view op_name, std::vector<ValueId> inputs, std::vector<NamedAttr> given) {
  const OpDef* op = ops_.find(op_name);
  WHERRY_CHECK(op, "no operator '{}'", op_name);
  std::vector<Attr> attrs;
  for (const AttrDef& def : op->attrs) attrs.push_back(def.fallback.value_or(None{}));
  for (NamedAttr& attr : given) {
    const int index = op->attr_index(attr.name);
    WHERRY_CHECK(index >= 0, "operator {} has no attribute '{}'", op_name, attr.name);
    const AttrDef& def = op->attrs[static_cast<std::size_t>(index)];
    const bool taken_as_is =
        (def.or_none && std::holds_alternative<None>(attr.value)) || (def.or_string && std::holds_alternative<std::string>(attr.value));
    std::optional<Attr> value = taken_as_is ? std::optional(attr.value) : coerce(attr.value, def.kind);
    WHERRY_CHECK(value, "attribute {} of {} cannot be {}", attr.name, op_name, text(attr.value));
    attrs[static_cast<std::size_t>(index)] = std::move(*value);
  }
  const bool taken = path_.empty() || unique_path(path_) != path_;
  return node(*op, std::move(inputs), std::move(attrs), taken ? (path_.empty() ? "" : path_ + ".") + std::string(op_name) : path_);
}

ValueId Builder::operator()(std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs) {
  return multi(op, std::move(inputs), std::move(attrs)).at(0);
}

ValueId Builder::constant(Tensor tensor, std::string name) { return graph_.add_constant(std::move(tensor), std::move(name)); }

ValueId Builder::ints(const std::vector<std::int64_t>& values) {
  return constant(Tensor::from(values, {static_cast<std::int64_t>(values.size())}));
}

Rewriter::Rewriter(const Graph& old, const OpTable& ops) : old_(old), builder_(fresh_, ops), map_(old.values.size(), absent) {
  fresh_.name = old.name;
  fresh_.modules = old.modules;
  fresh_.values.reserve(old.values.size());
  fresh_.nodes.reserve(old.nodes.size());
  for (const Port& port : old.inputs) fresh_.inputs.push_back({port.name, (*this)[port.value]});
}

ValueId Rewriter::operator[](ValueId old_value) {
  if (old_value == absent) return absent;
  ValueId& fresh = map_[static_cast<std::size_t>(old_value)];
  if (fresh == absent) fresh = fresh_.add_value(old_[old_value]);
  return fresh;
}

void Rewriter::map(ValueId old_value, ValueId fresh) { map_[static_cast<std::size_t>(old_value)] = fresh; }

void Rewriter::copy(const Node& node) {
  Node fresh = node;
  for (ValueId& v : fresh.inputs) v = (*this)[v];
  for (ValueId& v : fresh.outputs) v = (*this)[v];
  fresh_.nodes.push_back(std::move(fresh));
}

void Rewriter::replace(const Node& node, const std::vector<ValueId>& fresh) {
  WHERRY_CHECK(fresh.size() == node.outputs.size(), "{} values replace {} outputs of {}", fresh.size(), node.outputs.size(), node.path);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    map(node.outputs[i], fresh[i]);
    Value& value = fresh_[fresh[i]];
    const bool is_input = std::any_of(fresh_.inputs.begin(), fresh_.inputs.end(), [&](const Port& p) { return p.value == fresh[i]; });
    if (!value.constant && !is_input) value.name = old_[node.outputs[i]].name;
  }
}

Graph Rewriter::finish() {
  for (const Port& port : old_.outputs) fresh_.outputs.push_back({port.name, (*this)[port.value]});
  return without_dead_code(fresh_);
}

Graph without_dead_code(const Graph& graph) {
  std::vector<bool> needed(graph.values.size());
  const auto mark = [&](ValueId v) {
    if (v != absent) needed[static_cast<std::size_t>(v)] = true;
  };
  for (const Port& port : graph.outputs) mark(port.value);
  std::vector<bool> live(graph.nodes.size());
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    live[i] = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; });
    if (!live[i]) continue;
    for (const ValueId v : node.inputs) mark(v);
    for (const ValueId v : node.outputs) mark(v);
  }
  for (const Port& port : graph.inputs) mark(port.value);

  Graph result;
  result.name = graph.name;
  result.modules = graph.modules;
  std::vector<ValueId> moved(graph.values.size(), absent);
  for (std::size_t v = 0; v < graph.values.size(); ++v)
    if (needed[v]) moved[v] = result.add_value(graph.values[v]);
  const auto follow = [&](ValueId v) { return v == absent ? absent : moved[static_cast<std::size_t>(v)]; };
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!live[i]) continue;
    Node node = graph.nodes[i];
    for (ValueId& v : node.inputs) v = follow(v);
    for (ValueId& v : node.outputs) v = follow(v);
    result.nodes.push_back(std::move(node));
  }
  for (const Port& port : graph.inputs) result.inputs.push_back({port.name, follow(port.value)});
  for (const Port& port : graph.outputs) result.outputs.push_back({port.name, follow(port.value)});
  return result;
}

void verify(const Graph& graph) {
  std::vector<bool> known(graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v) known[v] = graph.values[v].constant.has_value();
  for (const Port& port : graph.inputs) known[static_cast<std::size_t>(port.value)] = true;
  std::map<std::string_view, int> paths;
  for (const Node& node : graph.nodes) {
    WHERRY_CHECK(node.attrs.size() == node.op->attrs.size(), "{} has {} attributes", node.path, node.attrs.size());
    WHERRY_CHECK(++paths[node.path] == 1, "two nodes are called {}", node.path);
    for (const ValueId v : node.inputs)
      WHERRY_CHECK(v == absent || known[static_cast<std::size_t>(v)], "{} takes a value that comes after it", node.path);
    const std::vector<Type> types = infer_types(graph, node);
    WHERRY_CHECK(types.size() == node.outputs.size(), "{} has {} outputs, infer says {}", node.path, node.outputs.size(), types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
      WHERRY_CHECK(graph.type(node.outputs[i]) == types[i], "{} is {}, infer says {}", node.path, text(graph.type(node.outputs[i])),
                   text(types[i]));
      known[static_cast<std::size_t>(node.outputs[i])] = true;
    }
  }
  for (const Port& port : graph.outputs)
    WHERRY_CHECK(port.value != absent && known[static_cast<std::size_t>(port.value)], "output {} has no value", port.name);
}

}  // namespace wherry
