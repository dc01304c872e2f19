#include "import/pt2/importer.h"

#include "base/text.h"
#include "import/pt2/pytree.h"
#include "import/pt2/symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

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

// "aten.relu_.default" → "aten.relu.default"; nullopt for what is not written in place.
std::optional<std::string> functional(std::string_view target) {
  const std::string_view op = base_name(target);
  if (!target.starts_with("aten.") || !op.ends_with('_') || op.ends_with("__") || op == "detach_") return std::nullopt;
  return fmt::format("aten.{}{}", op.substr(0, op.size() - 1), target.substr(5 + op.size()));
}

std::vector<std::string_view> output_names_of(const NodeDef& def) {
  std::vector<std::string_view> names;
  for (const Argument& output : def.outputs) {
    if (output.kind == Argument::tensors) names.insert(names.end(), output.names.begin(), output.names.end());
    else names.push_back(output.kind == Argument::tensor ? output.name : "");
  }
  return names;
}

bool is_wrapper(std::string_view target) {
  return target == "higher_order.wrap_with_set_grad_enabled" || target == "higher_order.wrap_with_autocast";
}

// Operators that give their argument's elements as they are: no node of ours.
bool is_silent(std::string_view target, const std::optional<DType>& from, const std::optional<DType>& to) {
  constexpr std::string_view always[] = {"aten.clone.default", "aten.contiguous.default", "aten.detach.default", "aten.detach_.default",
                                         "aten.alias.default", "aten.lift_fresh_copy.default", "aten.lift_fresh.default",
                                         "aten.positive.default"};
  if (std::find(std::begin(always), std::end(always), target) != std::end(always)) return true;
  const std::string_view op = base_name(target);
  return target.starts_with("aten.") && (op == "to" || op == "_to_copy" || op == "type_as") && from && from == to;
}

}  // namespace

Importer::Importer(const Archive& archive, const Program& program, WeightStore& weights, const OpTable& ops, Diagnostics& diagnostics)
    : archive_(archive), program_(program), weights_(weights), ops_(ops), diagnostics_(diagnostics), builder_(graph_, ops),
      aliases_(builder_, [this](const ForeignNode& node) { return call(node); }) {}

Graph Importer::run(std::string name) {
  graph_.name = std::move(name);
  graph_.values.reserve(program_.graph.tensors.size() + 8);
  graph_.nodes.reserve(program_.graph.nodes.size());
  count_modules(program_.graph);
  Scope scope{program_.graph};
  add_inputs(scope);
  run_nodes(scope);
  std::vector<std::string> targets;
  for (const OpDef* op : ops_.all())
    for (const ForeignMap& map : op->torch) targets.emplace_back(map.target);
  unknown_.report(targets, diagnostics_);
  if (!diagnostics_.has_errors()) add_outputs(scope);
  graph_.modules = modules_.modules();
  return diagnostics_.has_errors() ? std::move(graph_) : without_dead_code(graph_);
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

// ---- inputs and outputs ---------------------------------------------------------------------------------------------

void Importer::add_inputs(Scope& scope) {
  std::vector<std::string> names = input_names(archive_, program_);
  const auto is_users = [](const Spec& spec) { return spec.kind == "user_input" || spec.kind == "constant_input"; };
  const auto count = std::count_if(program_.inputs.begin(), program_.inputs.end(), is_users);
  if (names.size() != static_cast<std::size_t>(count)) names.clear();
  std::size_t next = 0;
  for (const Spec& spec : program_.inputs) {
    const std::string_view own = spec.arg.name;
    const std::string name = is_users(spec) && !names.empty() ? names[next++] : std::string(own);
    if (spec.kind == "constant_input") continue;   // fixed when the program was exported
    if (spec.arg.kind != Argument::tensor) {
      if (spec.kind == "user_input" && (spec.arg.kind == Argument::none || spec.arg.kind == Argument::attr)) continue;
      diagnostics_.add({.code = "E203", .message = fmt::format("the program's input '{}' is not a tensor", name),
                        .next = "export it with a fixed value, or pass it as a tensor"});
      continue;
    }
    if (spec.kind == "user_input") {
      const std::optional<Type> type = stated(scope, own);
      if (!type) archive_.damaged(fmt::format("input '{}' has no type", own), "E104");
      Shape known;
      std::copy_if(type->shape.begin(), type->shape.end(), std::back_inserter(known), [](const Dim& d) { return d.known(); });
      const bool fits = std::all_of(known.begin(), known.end(), [](const Dim& d) { return d.size() >= 0; });
      if (!fits || element_count(known).size() > (std::int64_t{1} << 40))
        archive_.damaged(fmt::format("input '{}' is {}: a size is negative or too large", own, text(*type)), "E503");
      const std::string port = unique_port(graph_.inputs, name);
      const ValueId value = graph_.add_value({port, *type, {}});
      graph_.inputs.push_back({port, value});
      scope.names[own] = aliases_.own(value, Aliases::Origin::input, port);
    } else if (spec.kind == "parameter" || spec.kind == "buffer" || spec.kind == "tensor_constant") {
      const Aliases::Id id = aliases_.own(absent, Aliases::Origin::weight, std::string(spec.target));
      scope.names[own] = id;
      pending_.emplace(id, &spec);
    } else {
      diagnostics_.add({.code = "E203", .message = fmt::format("the program's input '{}' is a {}, which Wherry does not read", name, spec.kind),
                        .next = "export the model without it"});
    }
  }
}

void Importer::add_outputs(Scope& scope) {
  std::vector<std::string> names = output_names(archive_, program_);
  const auto is_users = [](const Spec& spec) { return spec.kind == "user_output" || spec.kind == "loss_output"; };
  const auto count = std::count_if(program_.outputs.begin(), program_.outputs.end(), is_users);
  if (names.size() != static_cast<std::size_t>(count)) names.clear();
  std::size_t next = 0;
  for (const Spec& spec : program_.outputs) {
    if (is_users(spec)) {
      const std::string name = names.empty() ? fmt::format("output_{}", next) : names[next];
      ++next;
      add_output(scope, spec, name);
    } else if (spec.kind.ends_with("_mutation")) {
      diagnostics_.add({.code = "E204", .message = fmt::format("the program changes its {} '{}'", spec.kind.substr(0, spec.kind.size() - 9), spec.target),
                        .next = "call model.eval() before torch.export.export, or keep the state outside of the model"});
    } else {
      diagnostics_.add({.code = "E203", .message = fmt::format("the program has an output of the kind {}, which Wherry does not read", spec.kind),
                        .next = "export the model's forward for inference"});
    }
  }
  if (graph_.outputs.empty() && !diagnostics_.has_errors()) archive_.damaged("the program gives no tensor", "E104");
}

void Importer::add_output(Scope& scope, const Spec& spec, const std::string& name) {
  if (spec.arg.kind == Argument::none) return;
  if (spec.arg.kind != Argument::tensor) {
    diagnostics_.add({.code = "E203", .message = fmt::format("the program's output '{}' is not a tensor", name),
                      .next = "return tensors only; compute numbers outside of the model"});
    return;
  }
  try {
    graph_.outputs.push_back({unique_port(graph_.outputs, name), read(scope, spec.arg.name)});
  } catch (const Failure& failure) {
    for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
  }
}

std::string Importer::unique_port(const std::vector<Port>& ports, const std::string& wanted) const {
  std::string name = wanted;
  const auto taken = [&] { return std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.name == name; }); };
  for (int i = 1; taken(); ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
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
  const std::optional<std::string> meaning = functional(node.target);
  if (meaning && self) return run_in_place(scope, def, node, *self);
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

// y.add_(x): y gets the value of y + x, in y's own type and shape; the result is a further name of y.
void Importer::run_in_place(Scope& scope, const NodeDef& def, ForeignNode& node, Aliases::Id self) {
  const std::string_view op = base_name(node.target);
  constexpr std::string_view not_writes[] = {"squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "resize_", "set_",
                                             "as_strided_", "resize_as_", "requires_grad_"};
  if (std::find(std::begin(not_writes), std::end(not_writes), op) != std::end(not_writes))
    fail({.code = "E204", .message = fmt::format("'{}' changes a tensor's shape in place", node.target), .at = where(node),
          .next = fmt::format("write {}() without the underscore", op.substr(0, op.size() - 1))});
  for (const auto& [name, input] : def.inputs) {
    if (input.kind != Argument::tensor) continue;
    const Aliases::Id operand = lookup(scope, input.name);
    if (operand != self && aliases_.may_overlap(self, operand))
      fail({.code = "E204", .message = fmt::format("'{}' writes into what its own argument '{}' shows", node.target, name), .at = where(node),
            .next = "call .clone() on the argument"});
  }
  const ValueId before = node.value(node.args[0].name);
  const Type type = builder_.type(before);
  ValueId after = absent;
  if (op == "copy_" || op == "fill_" || op == "zero_") {
    if (op == "zero_") node.args.push_back({"value", Attr(0.0)});
    const ForeignArg& source = node.args.size() > 1 ? node.args[1] : node.args[0];
    const Attr* number = std::get_if<Attr>(&source.value);
    const std::optional<Attr> scalar = number ? coerce(*number, AttrKind::number) : std::nullopt;
    after = scalar ? builder_.scalar(std::get<double>(*scalar), type.dtype) : node.value(source.name);
    if (after == absent) fail({.code = "E203", .message = fmt::format("'{}' lacks its argument", node.target), .at = where(node)});
  } else {
    const std::string written = node.target;
    node.target = *functional(node.target);
    if (!ops_.torch(node.target) && ops_.torch(written)) node.target = written;
    const std::vector<ValueId> values = call(node);
    after = values.empty() ? absent : values[0];
    node.target = written;
    if (after == absent) {
      unknown_.add(graph_, node);
      throw Failure({});
    }
  }
  aliases_.write(self, as_type(node, after, before), node);
  bind(scope, outputs_, {self});
}

// `value` cast and broadcast to the type of `like`.
ValueId Importer::as_type(const ForeignNode& node, ValueId value, ValueId like) {
  const Type type = builder_.type(like);
  const auto step = [&](const char* target, std::vector<ForeignArg> args, Type gives) {
    return checked_call({.target = target, .args = std::move(args), .path = node.path, .source = node.source, .output_types = {std::move(gives)}}).at(0);
  };
  if (builder_.type(value).dtype != type.dtype)
    value = step("aten.to.dtype", {{"self", value}, {"dtype", Attr(type.dtype)}}, {type.dtype, builder_.type(value).shape});
  if (same_shape(builder_.type(value).shape, type.shape)) return value;
  if (is_static(type.shape)) return step("aten.expand.default", {{"self", value}, {"size", Attr(wherry::sizes(type.shape))}}, type);
  // Open sizes: a choice between the value and itself, which is broadcast to the shape of the condition.
  const ValueId condition = step("aten.eq.Tensor", {{"self", like}, {"other", like}}, {DType::boolean, type.shape});
  return step("aten.where.self", {{"condition", condition}, {"self", value}, {"other", value}}, type);
}

void Importer::inline_graph(Scope& scope, const NodeDef& def) {
  const GraphDef* body = nullptr;
  std::vector<std::string_view> operands;
  for (const auto& [name, argument] : def.inputs) {
    if (argument.kind == Argument::graph) body = argument.body;
    else if (body && argument.kind == Argument::tensor) operands.push_back(argument.name);
    else if (body && argument.kind == Argument::tensors) operands.insert(operands.end(), argument.names.begin(), argument.names.end());
  }
  if (!body || body->inputs.size() != operands.size()) archive_.damaged("a wrapped graph takes another number of values than it is given", "E104");
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
