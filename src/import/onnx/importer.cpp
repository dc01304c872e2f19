#include "import/onnx/importer.h"

#include "base/text.h"
#include "ops/onnx.h"

#include <algorithm>

namespace wherry::onnx {

namespace {

constexpr std::int64_t oldest_opset = 1, newest_opset = 28;

}  // namespace

Importer::Importer(const ModelDef& model, TensorReader& tensors, const OpTable& ops, const Dims& dims, Diagnostics& diagnostics)
    : model_(model), tensors_(tensors), ops_(ops), dims_(dims), diagnostics_(diagnostics), builder_(graph_, ops) {
  for (const auto& [name, size] : dims) unused_dims_.insert(name);
}

Graph Importer::run(std::string name) {
  graph_.name = std::move(name);
  const auto opset = model_.opsets.find("");
  const auto& nodes = model_.graph.nodes;
  const bool only_others = std::none_of(nodes.begin(), nodes.end(), [](const NodeDef& node) { return node.domain.empty(); });
  const std::int64_t version = opset != model_.opsets.end() ? opset->second : only_others ? oldest_opset : 0;
  if (version < oldest_opset || version > newest_opset)
    fail({.code = "E106",
          .message = fmt::format("the model uses opset {}; Wherry reads {} to {}", version, oldest_opset, newest_opset),
          .next = "export it with another opset, or bring it there with onnx.version_converter.convert_version"});
  Scope scope{.around = nullptr, .opsets = model_.opsets};
  if (model_.graph.has_sparse)
    diagnostics_.add(
        {.code = "E107", .message = "the model holds sparse weights, which Wherry does not read", .next = "export it with dense weights"});
  add_weights(scope, model_.graph);
  add_inputs(scope);
  run_nodes(scope, model_.graph.nodes);
  report_unknown();
  if (diagnostics_.has_errors()) return std::move(graph_);
  add_outputs(scope);
  if (diagnostics_.has_errors()) return std::move(graph_);

  std::erase_if(graph_.nodes, [&](const Node& node) {
    return std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return graph_.is_constant(v); });
  });
  graph_ = without_dead_code(graph_);
  std::vector<Place> places;
  for (const Node& node : graph_.nodes) places.push_back(places_.at(node.path));
  settle_paths(graph_, places);
  name_weights();
  return std::move(graph_);
}

// ---- values ---------------------------------------------------------------------------------------------------------

void Importer::add_weights(Scope& scope, const GraphDef& graph) {
  for (const TensorDef& tensor : graph.initializers) {
    scope.names[tensor.name] = {.value = absent, .weight = &tensor};
    weights_.insert(tensor.name);
  }
}

Type Importer::input_type(const ValueDef& input) {
  const std::optional<DType> dtype = ops::onnx::dtype_of(input.data_type);
  if (input.kind != "tensor" || !dtype)
    fail(
        {.code = "E107",
         .message = fmt::format("input '{}' is a {}, which Wherry does not read", input.name,
                                input.kind == "tensor" ? "tensor of " + ops::onnx::element_name(input.data_type) : std::string(input.kind)),
         .next = "export the model with tensors of numbers as inputs"});
  if (!input.ranked)
    fail({.code = "E504",
          .message = fmt::format("input '{}' has no shape", input.name),
          .next = "export the model with the number of dimensions of each input; their sizes may be left open"});
  Type type{*dtype, {}};
  for (std::size_t axis = 0; axis < input.dims.size(); ++axis) {
    const DimDef& dim = input.dims[axis];
    if (dim.size >= 0 && (dim.size > 0 || dim.name.empty())) {
      type.shape.emplace_back(dim.size);
      continue;
    }
    const std::string name = dim.name.empty() ? fmt::format("{}_{}", as_word(input.name), axis) : as_word(dim.name);
    unused_dims_.erase(name);
    const auto given = dims_.find(name);
    type.shape.push_back(given == dims_.end() ? Dim::symbol(std::isdigit(static_cast<unsigned char>(name[0])) ? "_" + name : name)
                                              : Dim(given->second));
  }
  return type;
}

void Importer::add_inputs(Scope& scope) {
  for (const ValueDef& input : model_.graph.inputs) {
    if (scope.names.contains(input.name)) continue;  // an initializer's default: fixed
    try {
      const std::string name = port_name(graph_.inputs, input.name);
      const ValueId value = graph_.add_value({name, input_type(input), {}});
      scope.names[input.name] = {.value = value};
      graph_.inputs.push_back({name, value});
    } catch (const Failure& failure) {
      for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
      scope.names[input.name] = {.broken = true};
    }
  }
  for (const std::string& name : unused_dims_)
    diagnostics_.add({.code = "E504",
                      .message = fmt::format("no input has a dimension '{}'", name),
                      .next = "'wherry show' prints the inputs with their dimensions"});
}

void Importer::add_outputs(Scope& scope) {
  for (const ValueDef& output : model_.graph.outputs) {
    try {
      ValueId value = read(scope, output.name);
      const bool is_input = std::any_of(graph_.inputs.begin(), graph_.inputs.end(), [&](const Port& p) { return p.value == value; });
      if (graph_.is_constant(value) || is_input) {
        place_ = {as_word(output.name), true};
        builder_.at(builder_.unique_path(place_.path), {});
        value = builder_("identity", {value});
        places_[graph_.nodes.back().path] = place_;
      }
      graph_.outputs.push_back({port_name(graph_.outputs, output.name), value});
    } catch (const Failure& failure) {
      for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
    }
  }
  if (graph_.outputs.empty() && !diagnostics_.has_errors())
    diagnostics_.add({.code = "E103", .message = "the model has no outputs", .next = "export the model again"});
}

std::string Importer::port_name(const std::vector<Port>& ports, std::string_view wanted) const {
  std::string name = as_word(wanted);
  if (std::isdigit(static_cast<unsigned char>(name[0]))) name = "_" + name;
  const std::string first = name;
  const auto taken = [&] { return std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.name == name; }); };
  for (int i = 1; taken(); ++i) name = fmt::format("{}_{}", first, i);
  return name;
}

Importer::Binding* Importer::find(Scope& scope, std::string_view name) const {
  for (Scope* at = &scope; at; at = const_cast<Scope*>(at->around))
    if (const auto it = at->names.find(name); it != at->names.end()) return &it->second;
  return nullptr;
}

ValueId Importer::read(Scope& scope, std::string_view name) {
  Binding* binding = find(scope, name);
  if (!binding)
    fail({.code = "E103",
          .message = fmt::format("the graph takes '{}', which nothing gives", name),
          .next = "export the model again: the file was changed or cut"});
  if (!binding->why_not.empty()) fail({.code = "E203", .message = binding->why_not});
  if (binding->sequence)
    fail({.code = "E203",
          .message = fmt::format("'{}' is a sequence where a tensor is needed", name),
          .next = "export the model with tensors in place of sequences"});
  if (binding->weight) {
    Tensor tensor = tensors_.read(*binding->weight, fmt::format("weight '{}'", name));
    std::string key = tensor.rank() == 0 ? "" : std::string(name);
    binding->value = graph_.add_constant(std::move(tensor), std::move(key));
    binding->weight = nullptr;
  }
  return binding->value;
}

Importer::Binding Importer::take(Scope& scope, std::string_view name) {
  const Binding* binding = find(scope, name);
  if (binding && (binding->broken || binding->sequence)) return *binding;
  return {.value = read(scope, name)};
}

// A weight whose name tells nothing of where it belongs ("onnx::Conv_12") is called after the layer that takes it.
void Importer::name_weights() {
  const Uses uses(graph_);
  std::set<std::string> taken;
  for (const Value& value : graph_.values)
    if (value.constant) taken.insert(value.name);
  for (const Node& node : graph_.nodes)
    for (std::size_t i = 0; i < node.op->inputs.size() && i < node.inputs.size(); ++i) {
      const Role role = node.op->inputs[i].role;
      const ValueId v = node.inputs[i];
      if ((role != Role::parameter && role != Role::optional_parameter) || !graph_.is_constant(v)) continue;
      std::string& name = graph_[v].name;
      const bool tells = name.find('.') != std::string::npos && name.find("::") == std::string::npos;
      const std::string wanted = fmt::format("{}.{}", node.path, node.op->inputs[i].name);
      if ((uses.single(v) && (!tells || name == node.path)) || name.empty())
        if (taken.insert(wanted).second) name = wanted;
    }
}

}  // namespace wherry::onnx
