#include "import/pt2/importer.h"

#include "import/pt2/join_padding.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::pt2 {

namespace {

std::string_view without_prefix(std::string_view target) {
  constexpr std::string_view prefix = "torch.ops.";
  return target.starts_with(prefix) ? target.substr(prefix.size()) : target;
}

bool is_assertion(std::string_view target) {
  const std::string_view op = base_name(target);
  return op.starts_with("_assert") || op.starts_with("sym_constrain_range");
}

// A node that gives no tensor: sizes (the file states their values) and assertions on them.
bool gives_no_tensor(const NodeDef& node) {
  if (node.outputs.empty()) return is_assertion(without_prefix(node.target));
  return std::all_of(node.outputs.begin(), node.outputs.end(), [](const Argument& a) {
    return a.kind == Argument::sizes || a.kind == Argument::attr || a.kind == Argument::other || a.kind == Argument::none;
  });
}

std::vector<std::string_view> output_names_of(const NodeDef& def) {
  std::vector<std::string_view> names;
  for (const Argument& output : def.outputs) {
    if (output.kind == Argument::tensors)
      names.insert(names.end(), output.names.begin(), output.names.end());
    else
      names.push_back(output.kind == Argument::tensor ? output.name : "");
  }
  return names;
}

bool is_wrapper(std::string_view target) {
  return target == "higher_order.wrap_with_set_grad_enabled" || target == "higher_order.wrap_with_autocast";
}

// Operators that give their argument's elements as they are: no node of ours.
bool is_silent(std::string_view target, const std::optional<DType>& from, const std::optional<DType>& to) {
  constexpr std::string_view always[] = {"aten.clone.default",      "aten.contiguous.default", "aten.detach.default",
                                         "aten.detach_.default",    "aten.alias.default",      "aten.lift_fresh_copy.default",
                                         "aten.lift_fresh.default", "aten.positive.default"};
  if (std::find(std::begin(always), std::end(always), target) != std::end(always)) return true;
  const std::string_view op = base_name(target);
  return target.starts_with("aten.") && (op == "to" || op == "_to_copy" || op == "type_as") && from && from == to;
}

}  // namespace

Importer::Importer(const Archive& archive, const Program& program, WeightStore& weights, const OpTable& ops, Diagnostics& diagnostics)
    : archive_(archive),
      program_(program),
      weights_(weights),
      ops_(ops),
      diagnostics_(diagnostics),
      builder_(graph_, ops),
      aliases_(builder_, [this](const ForeignNode& node) { return call(node); }) {}

Graph Importer::run(std::string name) {
  graph_.name = std::move(name);
  graph_.values.reserve(program_.graph.tensors.size() + 8);
  graph_.nodes.reserve(program_.graph.nodes.size());
  count_modules(program_.graph);
  Scope scope{program_.graph};
  add_inputs(scope);
  run_nodes(scope);
  unknown_.report(ops_.torch_targets(), diagnostics_);
  if (!diagnostics_.has_errors()) add_outputs(scope);
  graph_.modules = modules_.modules();
  return diagnostics_.has_errors() ? std::move(graph_) : join_padding(without_dead_code(graph_), ops_);
}

void Importer::count_modules(const GraphDef& graph) {
  const auto dtype = [&](std::string_view name) {
    const auto it = graph.tensors.find(name);
    return it == graph.tensors.end() ? std::nullopt : std::optional(it->second.type.dtype);
  };
  for (const NodeDef& node : graph.nodes) {
    const std::string_view target = without_prefix(node.target);
    const std::string_view from = node.inputs.empty() ? "" : node.inputs[0].second.name;
    const std::string_view to = node.outputs.empty() ? "" : node.outputs[0].name;
    modules_.see(node, !gives_no_tensor(node) && !is_wrapper(target) && !is_silent(target, dtype(from), dtype(to)));
    for (const auto& [name, input] : node.inputs)
      if (input.body) count_modules(*input.body);
  }
}

// ---- values ---------------------------------------------------------------------------------------------------------

std::optional<Type> Importer::stated(const Scope& scope, std::string_view name) const {
  const auto it = scope.graph.tensors.find(name);
  return it == scope.graph.tensors.end() ? std::nullopt : std::optional(it->second.type);
}

Aliases::Id Importer::lookup(const Scope& scope, std::string_view name) const {
  const auto it = scope.names.find(name);
  if (it == scope.names.end()) archive_.damaged(fmt::format("its graph takes '{}', which nothing gives", name), "E104");
  return it->second;
}

ValueId Importer::read(const Scope& scope, std::string_view name) {
  const Aliases::Id id = lookup(scope, name);
  if (const auto it = pending_.find(id); it != pending_.end()) {
    const Spec* spec = it->second;
    pending_.erase(it);
    load(*spec, id);
  }
  const ValueId value = aliases_.read(id);
  if (value == absent) fail({.code = "E203", .message = fmt::format("'{}' is a result that Wherry does not compute", name)});
  return value;
}

// A weight becomes a value when a node takes it; names that mean the same elements become one value.
void Importer::load(const Spec& spec, Aliases::Id id) {
  WeightStore::Found found = weights_.read(spec.target, spec.kind == "tensor_constant");
  if (const auto it = loaded_.find(found.first_name); it != loaded_.end()) return aliases_.set(id, it->second);
  const std::optional<Type> type = stated({program_.graph}, spec.arg.name);
  if (type && *type != found.tensor.type())
    archive_.damaged(fmt::format("weight '{}' is {}, but the graph takes {}", spec.target, text(found.tensor.type()), text(*type)), "E403");
  const ValueId value = graph_.add_constant(std::move(found.tensor), found.first_name);
  loaded_.emplace(std::move(found.first_name), value);
  aliases_.set(id, value);
}

// ---- nodes ----------------------------------------------------------------------------------------------------------

void Importer::run_nodes(Scope& scope) {
  for (const NodeDef& def : scope.graph.nodes) {
    try {
      run_node(scope, def);
    } catch (const Failure& failure) {
      for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
      bind_placeholders(scope, def);
    }
  }
}

void Importer::run_node(Scope& scope, const NodeDef& def) {
  if (gives_no_tensor(def)) return;
  const std::string_view target = without_prefix(def.target);
  if (is_wrapper(target)) return inline_graph(scope, def);
  outputs_ = output_names_of(def);
  ForeignNode node = foreign(scope, def, target);
  const bool on_tensor = !def.inputs.empty() && def.inputs[0].second.kind == Argument::tensor;
  std::optional<Aliases::Id> self;
  if (on_tensor) self = lookup(scope, def.inputs[0].second.name);
  if (self && is_in_place(node.target)) return run_in_place(scope, def, node, *self);
  const Aliasing kind = self ? aliasing_of(scope, def, node) : Aliasing::copy;
  if (self && run_silent(scope, node, *self, kind)) return;
  run_operator(scope, node, self, kind);
}

// Whether the result shares the first argument's elements: the operator says so, or the strides that the file states.
Aliasing Importer::aliasing_of(const Scope& scope, const NodeDef& def, const ForeignNode& node) const {
  const Aliasing kind = aliasing(node.target);
  const std::string_view op = base_name(node.target);
  if (kind != Aliasing::maybe || outputs_.empty()) return kind;
  const auto from = scope.graph.tensors.find(def.inputs[0].second.name), to = scope.graph.tensors.find(outputs_[0]);
  if (from == scope.graph.tensors.end() || to == scope.graph.tensors.end()) return kind;
  if (op == "contiguous") return !node.find("memory_format") ? (is_contiguous(from->second) ? Aliasing::view : Aliasing::copy) : kind;
  if (op == "to" || op == "type_as") {
    const Attr* copy = node.attr("copy");
    if (from->second.type.dtype != to->second.type.dtype || (copy && *copy == Attr(true))) return Aliasing::copy;
    return node.attr("memory_format") ? kind : Aliasing::view;
  }
  if (op != "reshape" && op != "flatten" && op != "reshape_as" && op != "ravel") return kind;
  if (const std::optional<bool> view = can_be_viewed(from->second, to->second.type.shape)) return *view ? Aliasing::view : Aliasing::copy;
  return is_contiguous(from->second) || !is_contiguous(to->second) ? Aliasing::view : kind;
}

void Importer::run_operator(Scope& scope, ForeignNode& node, std::optional<Aliases::Id> self, Aliasing kind) {
  const std::vector<ValueId> values = checked_call(node);
  std::vector<Aliases::Id> tensors;
  for (std::size_t i = 0; i < values.size(); ++i)
    tensors.push_back(kind == Aliasing::copy ? aliases_.own(values[i]) : aliases_.view(*self, node, i, values[i], kind == Aliasing::maybe));
  bind(scope, outputs_, tensors);
}

// What gives its argument as it is. A copy has a storage of its own; the others are further names of the same.
bool Importer::run_silent(Scope& scope, ForeignNode& node, Aliases::Id self, Aliasing kind) {
  const ValueId value = node.value(node.args[0].name);
  std::optional<DType> to;
  if (!node.output_types.empty()) to = node.output_types[0].dtype;
  if (!is_silent(node.target, builder_.type(value).dtype, to)) return false;
  if (kind == Aliasing::copy) return bind(scope, outputs_, {aliases_.own(value)}), true;
  if (kind == Aliasing::view) return bind(scope, outputs_, {self}), true;
  node.target = "aten.alias.default";
  node.args.resize(1);
  return bind(scope, outputs_, {aliases_.view(self, node, 0, value, true)}), true;
}

void Importer::inline_graph(Scope& scope, const NodeDef& def) {
  const GraphDef* body = nullptr;
  std::vector<std::string_view> operands;
  for (const auto& [name, argument] : def.inputs) {
    if (argument.kind == Argument::graph)
      body = argument.body;
    else if (body && argument.kind == Argument::tensor)
      operands.push_back(argument.name);
    else if (body && argument.kind == Argument::tensors)
      operands.insert(operands.end(), argument.names.begin(), argument.names.end());
  }
  if (!body || body->inputs.size() != operands.size())
    archive_.damaged("a wrapped graph takes another number of values than it is given", "E104");
  Scope inner{*body};
  for (std::size_t i = 0; i < operands.size(); ++i) inner.names[body->inputs[i].name] = lookup(scope, operands[i]);
  run_nodes(inner);
  std::vector<Aliases::Id> results;
  for (const Argument& output : body->outputs) results.push_back(output.kind == Argument::tensor ? lookup(inner, output.name) : -1);
  bind(scope, output_names_of(def), results);
}

void Importer::bind(Scope& scope, const std::vector<std::string_view>& names, const std::vector<Aliases::Id>& tensors) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    scope.names[names[i]] = i < tensors.size() && tensors[i] >= 0 ? tensors[i] : aliases_.own(absent);
  }
}

// After a fault: values of the types that the file states, so that what follows is still looked at.
void Importer::bind_placeholders(Scope& scope, const NodeDef& def) {
  for (const std::string_view name : output_names_of(def)) {
    if (name.empty()) continue;
    scope.names[name] = aliases_.own(graph_.add_value({std::string(name), stated(scope, name).value_or(Type{}), {}}));
  }
}

}  // namespace wherry::pt2
