#include "ir/outline_body.h"

#include "base/check.h"
#include "ir/op_def.h"
#include "ir/outline_constant.h"

#include <algorithm>

namespace wherry::outlining {

namespace {

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

bool is_parameter(const Input& input) { return input.role == Role::parameter || input.role == Role::optional_parameter; }

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
    for (const ValueId v : outputs_of(tree_, scope_)) body_.outputs.push_back(graph_.is_constant(v) ? add_constant(v) : ref(v));
    return std::move(body_);
  }

 private:
  // The outermost block inside the scope that begins at this node.
  const Instance* block_at(int node) const {
    for (const Instance* instance : tree_.around[static_cast<std::size_t>(node)])
      if (inside(*instance) && calls_.contains(instance)) return instance;
    return nullptr;
  }
  bool inside(const Instance& instance) const { return scope_.path.empty() || instance.path.starts_with(scope_.path + "."); }
  std::string local(const std::string& path) const { return scope_.path.empty() ? path : path.substr(scope_.path.size() + 1); }

  Ref take_input(ValueId v) {
    body_.inputs.push_back(v);
    return known_[v] = Ref{.kind = Ref::input, .index = static_cast<int>(body_.inputs.size()) - 1};
  }

  Ref ref(ValueId v) {
    if (v == absent) return {};
    if (const auto it = known_.find(v); it != known_.end()) return it->second;
    WHERRY_CHECK(!graph_.is_constant(v), "'{}' is constant", graph_[v].name);
    return take_input(v);
  }

  void define(const std::string& name, const std::vector<ValueId>& values) {
    for (std::size_t k = 0; k < values.size(); ++k)
      known_[values[k]] = Ref{.kind = Ref::output, .index = static_cast<int>(k), .layer = name};
  }

  void add_call(const Instance& inner, const Call& call) {
    Item item{.name = local(inner.path), .block = call.block, .args = call.args, .outputs = static_cast<int>(call.outputs.size())};
    for (const ValueId v : call.inputs) item.inputs.push_back(ref(v));
    item.may_omit_input = item.inputs.size() == 1;
    define(item.name, call.outputs);
    body_.items.push_back(std::move(item));
  }

  void add_node(const Node& node) {
    Item item{.name = local(node.path),
              .op = std::string(node.op->name),
              .args = args_of(graph_, node),
              .outputs = static_cast<int>(node.outputs.size())};
    const bool by_key = std::all_of(node.inputs.begin(), node.inputs.end(), [&](const ValueId& v) {
      return v == absent || !is_parameter(declared(node, v)) || (graph_.is_constant(v) && !graph_[v].name.empty());
    });
    const std::optional<DType> dtype = first_dtype(node);
    std::size_t parameters = 0;
    for (const ValueId& v : node.inputs) {
      if (by_key && is_parameter(declared(node, v)))
        add_key(item, node, declared(node, v).name, v), ++parameters;
      else
        item.inputs.push_back(graph_.is_constant(v) ? Ref{.kind = Ref::literal, .value = constant_text(v, dtype)} : ref(v));
    }
    while (by_key && !item.inputs.empty() && item.inputs.back().kind == Ref::none) item.inputs.pop_back();
    item.may_omit_input = item.inputs.size() == 1 && node.op->inputs[0].role != Role::variadic;
    shorten_keys(item, node, parameters);
    define(item.name, node.outputs);
    body_.items.push_back(std::move(item));
  }

  // A model may give a constant out; the text names layers only.
  Ref add_constant(ValueId v) {
    std::string name = "constant";
    while (std::any_of(body_.items.begin(), body_.items.end(), [&](const Item& item) { return item.name == name; })) name += "_";
    body_.items.push_back({.name = name, .op = "identity", .inputs = {{.kind = Ref::literal, .value = constant_text(v, {})}}});
    return {.kind = Ref::output, .layer = name};
  }

  static const Input& declared(const Node& node, const ValueId& input) {
    const auto position = static_cast<std::size_t>(&input - node.inputs.data());
    return node.op->inputs[std::min(position, node.op->inputs.size() - 1)];
  }

  // Of the first input that is a tensor: what a number among the inputs takes its data type from.
  std::optional<DType> first_dtype(const Node& node) const {
    for (const ValueId v : node.inputs)
      if (v != absent && !graph_.is_constant(v)) return graph_.type(v).dtype;
    return {};
  }

  TextValue constant_text(ValueId v, std::optional<DType> dtype) const {
    const Value& value = graph_[v];
    return value.name.empty() ? written(*value.constant, dtype) : named_constant(relative(value.name), value.type);
  }

  // A key within the scope begins with a dot.
  std::string relative(const std::string& key) const {
    return !scope_.path.empty() && key.starts_with(scope_.path + ".") ? key.substr(scope_.path.size()) : key;
  }

  void add_key(Item& item, const Node& node, std::string_view parameter, ValueId v) const {
    if (v == absent) return;
    const std::string& key = graph_[v].name;
    if (key != fmt::format("{}.{}", node.path, parameter)) item.weights.emplace_back(parameter, relative(key));
  }

  // weights: {weight: a.weight, bias: a.bias} → weights: a
  static void shorten_keys(Item& item, const Node& node, std::size_t parameters) {
    const auto given = std::count_if(node.inputs.begin(), node.inputs.end(),
                                     [&](const ValueId& v) { return v != absent && is_parameter(declared(node, v)); });
    if (parameters == 0 || item.weights.size() != static_cast<std::size_t>(given)) return;
    std::string owner;
    for (const auto& [name, key] : item.weights) {
      if (!key.ends_with("." + name)) return;
      const std::string prefix = key.substr(0, key.size() - name.size() - 1);
      if (prefix.empty() || (!owner.empty() && prefix != owner)) return;
      owner = prefix;
    }
    item.weights = {{"", owner}};
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
