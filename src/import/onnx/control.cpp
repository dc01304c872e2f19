// The importer's part that takes branches, unrolls loops and calls functions: what decides is known when the model is read.
#include "import/onnx/importer.h"

namespace wherry::onnx {

namespace {

constexpr int deepest_call = 32;
constexpr int most_iterations = 10000;  // in the whole model

const GraphDef& graph_attribute(const NodeDef& node, std::string_view name, std::size_t outputs) {
  const AttributeDef* attribute = node.find(name);
  if (!attribute || !attribute->graph || attribute->graph->outputs.size() < outputs)
    fail({.code = "E103", .message = fmt::format("'{}' lacks its graph '{}', or one of its results", node.op, name), .at = title(node)});
  return *attribute->graph;
}

}  // namespace

std::string sibling(const std::string& around, const std::string& path) {
  return around.empty() ? path : path.empty() ? around : around + "." + path;
}

std::string Importer::module_of(const Scope& scope, const NodeDef& node, std::string_view fallback) const {
  std::string path = place_of(node, weights_).path;
  return sibling(scope.path, path.empty() ? std::string(fallback) : std::move(path));
}

std::optional<bool> Importer::known_truth(ValueId value) const {
  if (value == absent || !graph_.is_constant(value) || graph_[value].constant->count() != 1) return std::nullopt;
  return graph_[value].constant->item() != 0;
}

// The branch taken stands in the node's place.
void Importer::run_if(Scope& scope, const NodeDef& node) {
  const ValueId condition = node.inputs.empty() ? absent : read(scope, node.inputs[0]);
  const std::optional<bool> taken = known_truth(condition);
  if (!taken)
    fail({.code = "E203",
          .message = "'If' decides by what the model computes; Wherry's graphs have no branches",
          .at = title(node),
          .next = "export the branch that is needed, or write the choice with Where"});
  const GraphDef& branch = graph_attribute(node, *taken ? "then_branch" : "else_branch", node.outputs.size());
  Scope inner{.around = &scope, .opsets = scope.opsets, .attributes = scope.attributes, .names = {}, .path = scope.path};
  add_weights(inner, branch);
  run_nodes(inner, branch.nodes);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) scope.names[node.outputs[i]] = take(inner, branch.outputs[i].name);
}

// One run of a loop's body. `shared` holds its weights.
std::vector<Importer::Binding> Importer::run_body(Scope& shared, const NodeDef& node, const GraphDef& body, std::vector<Binding> inputs,
                                                  std::size_t iteration) {
  if (++iterations_ > most_iterations)
    fail(
        {.code = "E203",
         .message = fmt::format("'{}' repeats: more than {} runs of loops would be written one behind the other", node.op, most_iterations),
         .at = title(node),
         .next = "export a model with shorter loops, or without them"});
  if (body.inputs.size() != inputs.size())
    fail({.code = "E103",
          .message = fmt::format("the body of '{}' takes {} values, {} are given", node.op, body.inputs.size(), inputs.size()),
          .at = title(node)});
  Scope inner{.around = &shared, .opsets = shared.opsets, .attributes = shared.attributes, .names = {}, .path = {}};
  inner.path = sibling(shared.path, std::to_string(iteration));
  for (std::size_t i = 0; i < inputs.size(); ++i) inner.names[body.inputs[i].name] = std::move(inputs[i]);
  run_nodes(inner, body.nodes);
  std::vector<Binding> results;
  for (const ValueDef& output : body.outputs) results.push_back(take(inner, output.name));
  return results;
}

Importer::Scope Importer::body_scope(Scope& scope, const NodeDef& node, const GraphDef& body, std::string_view fallback) {
  Scope shared{.around = &scope, .opsets = scope.opsets, .attributes = scope.attributes, .names = {}, .path = {}};
  shared.path = module_of(scope, node, fallback);
  add_weights(shared, body);
  return shared;
}

// A loop whose count is known: its runs one behind the other.
void Importer::run_loop(Scope& scope, const NodeDef& node) {
  const std::size_t carried = node.inputs.size() < 2 ? 0 : node.inputs.size() - 2;
  const GraphDef& body = graph_attribute(node, "body", carried + 1);
  const std::optional<std::int64_t> count = known_integer(scope, node, 0), condition = known_integer(scope, node, 1);
  Scope shared = body_scope(scope, node, body, "loop");
  std::vector<Binding> states;
  for (std::size_t i = 0; i < carried; ++i) states.push_back(take(scope, node.inputs[i + 2]));
  std::vector<std::vector<ValueId>> collected(body.outputs.size() - 1 - carried);
  bool goes_on = condition.value_or(1) != 0;
  for (std::int64_t i = 0; goes_on && (!count || i < *count); ++i) {
    std::vector<Binding> inputs = {{.value = graph_.add_constant(Tensor::from<std::int64_t>({i}, {}), "")},
                                   {.value = graph_.add_constant(Tensor::scalar(1, DType::boolean), "")}};
    inputs.insert(inputs.end(), states.begin(), states.end());
    std::vector<Binding> results = run_body(shared, node, body, std::move(inputs), static_cast<std::size_t>(i));
    if (std::any_of(results.begin(), results.end(), [](const Binding& b) { return b.broken; })) return bind_broken(scope, node);
    const std::optional<bool> more = known_truth(results[0].value);
    if (!more)
      fail({.code = "E203",
            .message = "'Loop' ends by what the model computes; Wherry's graphs have no loops",
            .at = title(node),
            .next = "export the model with a fixed number of runs"});
    goes_on = *more;
    states.assign(results.begin() + 1, results.begin() + 1 + static_cast<std::ptrdiff_t>(carried));
    for (std::size_t k = 0; k < collected.size(); ++k) collected[k].push_back(results[k + 1 + carried].value);
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (i < carried)
      scope.names[node.outputs[i]] = states[i];
    else
      scope.names[node.outputs[i]] = {.value = stacked(scope, node, collected.at(i - carried), 0)};
  }
}

ValueId Importer::stacked(Scope& scope, const NodeDef& node, const std::vector<ValueId>& parts, std::int64_t axis) {
  if (parts.empty())
    fail({.code = "E203", .message = fmt::format("'{}' runs no time and has nothing to give", node.op), .at = title(node)});
  return build(scope, node, "stack", parts, {{"dim", axis}})[0];
}

// A scan goes along an axis whose size is known: its runs one behind the other. Before opset 9 each sample of a batch by itself.
void Importer::run_scan(Scope& scope, const NodeDef& node) {
  const auto version = scope.opsets.find("");
  const bool batched = version == scope.opsets.end() || version->second < 9;
  const std::size_t first = batched ? 1 : 0, inputs = node.inputs.size() - std::min(first, node.inputs.size());
  const auto ints = [&](std::string_view name, std::size_t size) {
    const AttributeDef* a = node.find(name);
    Ints list = a ? a->integers : Ints{};
    list.resize(size, 0);
    return list;
  };
  const AttributeDef* count = node.find("num_scan_inputs");
  if (!count || count->integer < 1 || count->integer > static_cast<std::int64_t>(inputs))
    fail({.code = "E103", .message = "'Scan' says no number of inputs that fits", .at = title(node)});
  if (batched && !node.inputs[0].empty())
    fail({.code = "E203", .message = "'Scan' with lengths for each sample is not known", .at = title(node)});
  const auto scanned = static_cast<std::size_t>(count->integer), carried = inputs - scanned;
  const GraphDef& body = graph_attribute(node, "body", node.outputs.size());
  const std::size_t made = body.outputs.size() - std::min(carried, body.outputs.size());
  const ScanPlan plan{.body = body,
                      .axes = ints("scan_input_axes", scanned),
                      .backwards = ints(batched ? "directions" : "scan_input_directions", scanned),
                      .out_axes = ints("scan_output_axes", made),
                      .out_backwards = ints("scan_output_directions", made)};
  Scope shared = body_scope(scope, node, body, "scan");
  std::vector<ValueId> given;
  for (std::size_t i = 0; i < inputs; ++i) given.push_back(read(scope, node.inputs[first + i]));
  std::vector<ValueId> results;
  if (!batched) {
    results = scan(shared, node, plan, {given.begin(), given.begin() + static_cast<std::ptrdiff_t>(carried)},
                   {given.begin() + static_cast<std::ptrdiff_t>(carried), given.end()});
  } else {
    std::vector<std::vector<ValueId>> samples(node.outputs.size());
    const Shape shape = graph_.type(given.at(0)).shape;
    if (shape.empty() || !shape[0].known()) fail({.code = "E504", .message = "'Scan' over a batch whose size is open", .at = title(node)});
    for (std::int64_t s = 0; s < shape[0].size(); ++s) {
      std::vector<ValueId> one;
      for (const ValueId v : given) one.push_back(build(scope, node, "select", {v}, {{"dim", std::int64_t{0}}, {"index", s}})[0]);
      const std::vector<ValueId> sample = scan(shared, node, plan, {one.begin(), one.begin() + static_cast<std::ptrdiff_t>(carried)},
                                               {one.begin() + static_cast<std::ptrdiff_t>(carried), one.end()});
      for (std::size_t i = 0; i < samples.size() && i < sample.size(); ++i) samples[i].push_back(sample[i]);
    }
    for (const std::vector<ValueId>& sample : samples) results.push_back(stacked(scope, node, sample, 0));
  }
  if (results.empty()) return bind_broken(scope, node);
  bind(scope, node, results);
}

// Empty where the body has a fault.
std::vector<ValueId> Importer::scan(Scope& shared, const NodeDef& node, const ScanPlan& plan, std::vector<ValueId> states,
                                    const std::vector<ValueId>& inputs) {
  std::vector<std::int64_t> axes;
  std::optional<std::int64_t> length;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = graph_.type(inputs[i]).shape;
    const std::int64_t axis = plan.axes[i] < 0 ? plan.axes[i] + static_cast<std::int64_t>(shape.size()) : plan.axes[i];
    if (axis < 0 || axis >= static_cast<std::int64_t>(shape.size()) || !shape[static_cast<std::size_t>(axis)].known())
      fail({.code = "E504",
            .message = fmt::format("'Scan' goes along an axis of {} whose size is not known", text(graph_.type(inputs[i]))),
            .at = title(node),
            .next = "give each dimension a size with --dim NAME=SIZE"});
    axes.push_back(axis);
    length = shape[static_cast<std::size_t>(axis)].size();
  }
  std::vector<std::vector<ValueId>> collected(plan.body.outputs.size() - states.size());
  for (std::int64_t t = 0; t < length.value_or(0); ++t) {
    std::vector<Binding> given;
    for (const ValueId v : states) given.push_back({.value = v});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::int64_t at = plan.backwards[i] ? *length - 1 - t : t;
      given.push_back({.value = build(shared, node, "select", {inputs[i]}, {{"dim", axes[i]}, {"index", at}})[0]});
    }
    const std::vector<Binding> results = run_body(shared, node, plan.body, std::move(given), static_cast<std::size_t>(t));
    if (std::any_of(results.begin(), results.end(), [](const Binding& b) { return b.broken; })) return {};
    for (std::size_t i = 0; i < states.size(); ++i) states[i] = results[i].value;
    for (std::size_t k = 0; k < collected.size(); ++k) collected[k].push_back(results[states.size() + k].value);
  }
  for (std::size_t k = 0; k < collected.size(); ++k) {
    if (plan.out_backwards[k]) std::reverse(collected[k].begin(), collected[k].end());
    states.push_back(stacked(shared, node, collected[k], plan.out_axes[k]));
  }
  return states;
}

const FunctionDef* Importer::function_of(const NodeDef& node) const {
  for (const FunctionDef& f : model_.functions)
    if (f.name == node.op && (f.domain == "ai.onnx" ? "" : f.domain) == node.domain && f.overload == node.overload) return &f;
  return nullptr;
}

// A function of the file: its body with the arguments for its names.
void Importer::run_function(Scope& scope, const NodeDef& node, const FunctionDef& function) {
  if (++depth_ > deepest_call)
    fail({.code = "E103", .message = fmt::format("the function '{}' calls itself", function.name), .at = title(node)});
  std::vector<AttributeDef> attributes = function.defaults;
  for (const AttributeDef& a : node.attributes) {
    std::erase_if(attributes, [&](const AttributeDef& d) { return d.name == a.name; });
    attributes.push_back(a);
  }
  Scope inner{.around = nullptr, .opsets = function.opsets, .attributes = &attributes, .names = {}, .path = module_of(scope, node, "")};
  for (const auto& [domain, version] : scope.opsets) inner.opsets.emplace(domain, version);
  for (std::size_t i = 0; i < function.inputs.size(); ++i)
    inner.names[function.inputs[i]] = i < node.inputs.size() && !node.inputs[i].empty() ? take(scope, node.inputs[i]) : Binding{};
  run_nodes(inner, function.nodes);
  for (std::size_t i = 0; i < node.outputs.size() && i < function.outputs.size(); ++i)
    scope.names[node.outputs[i]] = take(inner, function.outputs[i]);
  --depth_;
}

}  // namespace wherry::onnx
