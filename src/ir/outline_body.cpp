#include "ir/outline_body.h"

#include "base/check.h"
#include "ir/op_def.h"

#include <algorithm>

namespace wherry::outlining {

namespace {

TextValue text_map(std::vector<std::pair<std::string, TextValue>> members) {
  TextValue value;
  value.kind = TextValue::map;
  value.members = std::move(members);
  return value;
}

TextValue word(std::string text) { return TextValue::of(Attr(std::move(text))); }

// A constant that is no parameter of its operator: a weight by its key, else its elements in place.
TextValue constant_text(const Value& value) {
  if (!value.name.empty()) return text_map({{"weight", word(value.name)}, {"type", word(text(value.type))}});
  return TextValue{};
}

// [2, 2] → 2 where the text may say so.
Attr shortest(const Attr& value, AttrKind kind) {
  const auto* list = std::get_if<Ints>(&value);
  if (!list || list->empty()) return value;
  const Attr one = list->front();
  const std::optional<Attr> back = coerce(one, kind);
  return back && *back == value ? one : value;
}

Arg arg_of(std::string_view name, const Attr& value, AttrKind kind, const std::optional<Attr>& fallback) {
  std::optional<Attr> usual;
  if (fallback) usual = shortest(coerce(*fallback, kind).value_or(*fallback), kind);
  return {std::string(name), shortest(value, kind), std::move(usual)};
}

std::vector<Arg> args_of(const Graph& graph, const Node& node) {
  std::vector<Arg> args;
  if (node.op->hyper_of) {
    const Hyper hyper = node.op->hyper_of(graph, node);
    for (const HyperDef& def : node.op->hyper)
      if (const auto it = hyper.find(def.name); it != hyper.end()) args.push_back(arg_of(def.name, it->second, def.kind, def.fallback));
  }
  for (std::size_t i = 0; i < node.op->attrs.size(); ++i) {
    const AttrDef& def = node.op->attrs[i];
    args.push_back(arg_of(def.name, node.attrs[i], def.kind, def.fallback));
  }
  return args;
}

bool is_parameter(Role role) { return role == Role::parameter || role == Role::optional_parameter; }

// Names values of one scope as its layers are read.
class Reader {
 public:
  Reader(const Tree& tree, const Instance& scope, const Calls& calls) : tree_(tree), graph_(tree.graph), scope_(scope), calls_(calls) {
    if (!scope.path.empty()) return;
    for (const Port& port : graph_.inputs) take_input(port.value);
  }

  Body read() {
    for (int i = scope_.first; i < scope_.last;) {
      if (const Instance* inner = block_at(i)) {
        add_call(*inner, calls_.at(inner));
        i = inner->last;
      } else {
        add_node(graph_.nodes[static_cast<std::size_t>(i++)]);
      }
    }
    for (const ValueId v : outputs_of(tree_, scope_)) body_.outputs.push_back(ref(v));
    return std::move(body_);
  }

 private:
  // The outermost block inside the scope that begins at this node.
  const Instance* block_at(int node) const {
    for (const Instance* instance : tree_.around[static_cast<std::size_t>(node)])
      if (inside(*instance) && calls_.contains(instance)) return instance;
    return nullptr;
  }
  bool inside(const Instance& instance) const {
    return scope_.path.empty() || instance.path.starts_with(scope_.path + ".");
  }
  std::string local(const std::string& path) const { return scope_.path.empty() ? path : path.substr(scope_.path.size() + 1); }

  Ref take_input(ValueId v) {
    body_.inputs.push_back(v);
    return known_[v] = Ref{.kind = Ref::input, .index = static_cast<int>(body_.inputs.size()) - 1};
  }

  Ref ref(ValueId v) {
    if (v == absent) return {};
    if (const auto it = known_.find(v); it != known_.end()) return it->second;
    if (graph_.is_constant(v)) return {.kind = Ref::literal, .value = constant_text(graph_[v])};
    return take_input(v);
  }

  void define(const std::string& name, const std::vector<ValueId>& values) {
    for (std::size_t k = 0; k < values.size(); ++k) known_[values[k]] = Ref{.kind = Ref::output, .index = static_cast<int>(k), .layer = name};
  }

  void add_call(const Instance& inner, const Call& call) {
    Item item{.name = local(inner.path), .block = call.block, .args = call.args, .outputs = static_cast<int>(call.outputs.size())};
    for (const ValueId v : call.inputs) item.inputs.push_back(ref(v));
    item.may_omit_input = item.inputs.size() == 1;
    define(item.name, call.outputs);
    body_.items.push_back(std::move(item));
  }

  void add_node(const Node& node) {
    Item item{.name = local(node.path), .op = std::string(node.op->name), .args = args_of(graph_, node),
              .outputs = static_cast<int>(node.outputs.size())};
    int tensors = 0;
    for (const Input& input : node.op->inputs) tensors += !is_parameter(input.role);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Input& input = node.op->inputs[std::min(i, node.op->inputs.size() - 1)];
      const ValueId v = node.inputs[i];
      if (!is_parameter(input.role)) {
        item.inputs.push_back(ref(v));
      } else if (v != absent) {
        WHERRY_CHECK(graph_.is_constant(v), "{}: input '{}' is computed", node.path, input.name);
        if (const std::string& key = graph_[v].name; key != node.path + "." + std::string(input.name)) item.weights.emplace_back(input.name, key);
      }
    }
    while (!item.inputs.empty() && item.inputs.back().kind == Ref::none) item.inputs.pop_back();
    item.may_omit_input = tensors == 1 && item.inputs.size() == 1 && node.op->inputs[0].role != Role::variadic;
    define(item.name, node.outputs);
    body_.items.push_back(std::move(item));
  }

  const Tree& tree_;
  const Graph& graph_;
  const Instance& scope_;
  const Calls& calls_;
  Body body_;
  std::map<ValueId, Ref> known_;
};

}  // namespace

Body read_body(const Tree& tree, const Instance& scope, const Calls& calls) { return Reader(tree, scope, calls).read(); }

std::vector<ValueId> outputs_of(const Tree& tree, const Instance& scope) {
  std::vector<ValueId> outputs;
  if (scope.path.empty()) {
    for (const Port& port : tree.graph.outputs) outputs.push_back(port.value);
    return outputs;
  }
  for (int i = scope.first; i < scope.last; ++i)
    for (const ValueId v : tree.graph.nodes[static_cast<std::size_t>(i)].outputs) {
      const std::vector<int>& users = tree.uses.users[static_cast<std::size_t>(v)];
      const bool escapes = std::any_of(users.begin(), users.end(), [&](int user) { return user >= scope.last; });
      if (escapes || tree.uses.is_output[static_cast<std::size_t>(v)]) outputs.push_back(v);
    }
  return outputs;
}

}  // namespace wherry::outlining
