// The importer's part that turns nodes of the file into ours.
#include "base/text.h"
#include "import/onnx/importer.h"
#include "ir/fold_node.h"

#include <algorithm>
#include <charconv>

namespace wherry::onnx {

namespace {

constexpr std::int64_t longest_unnamed = 8;  // elements of a folded constant that the text spells out
constexpr int deepest_call = 32;

enum AttributeType { is_float = 1, is_int, is_string, is_tensor, is_graph, is_floats, is_ints, is_strings };

// How messages call a node.
std::string title(const NodeDef& node) {
  if (!node.name.empty()) return std::string(node.name);
  return node.outputs.empty() ? std::string(node.op) : fmt::format("the {} that gives '{}'", node.op, node.outputs[0]);
}

std::string target_of(const NodeDef& node) {
  return node.domain.empty() ? std::string(node.op) : fmt::format("{}.{}", node.domain, node.op);
}

// The number that was meant: 0.1, not 0.10000000149011612. As a float it is the same.
double shortest(float number) {
  if (!std::isfinite(number)) return number;
  const std::string text = fmt::format("{}", number);
  double value = number;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string sibling(const std::string& around, std::string path) {
  return around.empty() ? path : path.empty() ? around : around + "." + path;
}

}  // namespace

void Importer::run_nodes(Scope& scope, const std::vector<NodeDef>& nodes) {
  for (const NodeDef& node : nodes) {
    try {
      if (breaks(scope, node))
        bind_broken(scope, node);
      else
        run_node(scope, node);
    } catch (const Failure& failure) {
      for (Diagnostic diagnostic : failure.diagnostics()) {
        if (diagnostic.at.empty()) diagnostic.at = title(node);
        diagnostics_.add(std::move(diagnostic));
      }
      bind_broken(scope, node);
    }
  }
}

bool Importer::breaks(Scope& scope, const NodeDef& node) const {
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](std::string_view name) {
    const Binding* binding = find(scope, name);
    return binding && binding->broken;
  });
}

void Importer::run_node(Scope& scope, const NodeDef& node) {
  if (const FunctionDef* function = function_of(node)) return run_function(scope, node, *function);
  if (node.op == "If" && node.domain.empty()) return run_if(scope, node);
  Place place = place_of(node, weights_);
  place.path = sibling(scope.path, place.path);
  run_operator(scope, node, place);
}

const FunctionDef* Importer::function_of(const NodeDef& node) const {
  for (const FunctionDef& f : model_.functions)
    if (f.name == node.op && (f.domain == "ai.onnx" ? "" : f.domain) == node.domain && f.overload == node.overload) return &f;
  return nullptr;
}

// A condition that is known when the model is read: the branch taken stands in the node's place.
void Importer::run_if(Scope& scope, const NodeDef& node) {
  const ValueId condition = node.inputs.empty() ? absent : read(scope, node.inputs[0]);
  if (condition == absent || !graph_.is_constant(condition) || graph_[condition].constant->count() != 1)
    fail({.code = "E203",
          .message = "'If' decides by what the model computes; Wherry's graphs have no branches",
          .at = title(node),
          .next = "export the branch that is needed, or write the choice with Where"});
  const AttributeDef* branch = node.find(graph_[condition].constant->item() != 0 ? "then_branch" : "else_branch");
  if (!branch || !branch->graph || branch->graph->outputs.size() < node.outputs.size())
    fail({.code = "E103", .message = "'If' lacks a branch, or one of its results", .at = title(node)});
  Scope inner{.around = &scope, .opsets = scope.opsets, .attributes = scope.attributes, .names = {}, .path = scope.path};
  add_weights(inner, *branch->graph);
  run_nodes(inner, branch->graph->nodes);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const Binding* result = find(inner, branch->graph->outputs[i].name);
    if (result && result->broken)
      scope.names[node.outputs[i]] = {.broken = true};
    else
      scope.names[node.outputs[i]] = {.value = read(inner, branch->graph->outputs[i].name)};
  }
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
  Scope inner{.around = nullptr,
              .opsets = function.opsets,
              .attributes = &attributes,
              .names = {},
              .path = sibling(scope.path, place_of(node, weights_).path)};
  for (const auto& [domain, version] : scope.opsets) inner.opsets.emplace(domain, version);
  for (std::size_t i = 0; i < function.inputs.size(); ++i)
    inner.names[function.inputs[i]] =
        i < node.inputs.size() && !node.inputs[i].empty() ? Binding{.value = read(scope, node.inputs[i])} : Binding{};
  run_nodes(inner, function.nodes);
  for (std::size_t i = 0; i < node.outputs.size() && i < function.outputs.size(); ++i) {
    const Binding* result = find(inner, function.outputs[i]);
    if (result && result->broken)
      scope.names[node.outputs[i]] = {.broken = true};
    else
      scope.names[node.outputs[i]] = {.value = read(inner, function.outputs[i])};
  }
  --depth_;
}

void Importer::run_operator(Scope& scope, const NodeDef& node, const Place& place) {
  const auto version = scope.opsets.find(node.domain);
  const OpTable::Foreign* meaning =
      ops_.onnx(target_of(node), version == scope.opsets.end() ? 1 : static_cast<int>(std::min<std::int64_t>(version->second, 1 << 20)));
  ForeignNode foreign_node = foreign(scope, node, meaning);
  if (!meaning) {
    unknown_.add(graph_, foreign_node);
    return bind_broken(scope, node);
  }
  const std::size_t before = graph_.nodes.size();
  builder_.at(builder_.unique_path(place.path.empty() ? std::string(meaning->op->name) : place.path), {});
  const std::vector<ValueId> values = convert_foreign(builder_, foreign_node, *meaning);
  const bool several = graph_.nodes.size() > before + 1;
  for (std::size_t i = before; i < graph_.nodes.size(); ++i) places_[graph_.nodes[i].path] = {place.path, place.exact && !several};
  fold(before);
  bind(scope, node, values);
}

// What is computed from constants alone becomes one: shapes, axes and the like, which other operators take as attributes.
void Importer::fold(std::size_t first_node) {
  const auto always = [](const Graph&, const Node&, const std::vector<Type>&) { return true; };
  for (std::size_t i = first_node; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    std::vector<Tensor> results = fold_node(graph_, ops_, node, always);
    for (std::size_t k = 0; k < results.size(); ++k) {
      Value& value = graph_[node.outputs[k]];
      if (results[k].count() <= longest_unnamed) value.name.clear();
      value.constant = std::move(results[k]);
    }
  }
}

ForeignNode Importer::foreign(Scope& scope, const NodeDef& node, const OpTable::Foreign* meaning) {
  ForeignNode out{.target = target_of(node), .args = {}, .path = title(node), .source = {}, .output_types = {}};
  out.output_count = static_cast<int>(node.outputs.size());
  if (const auto version = scope.opsets.find(node.domain); version != scope.opsets.end()) out.version = static_cast<int>(version->second);
  const bool listed =
      meaning && !meaning->map->convert && !meaning->op->inputs.empty() && meaning->op->inputs.back().role == Role::variadic;
  std::vector<ValueId> list;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].empty()) continue;
    const ValueId value = read(scope, node.inputs[i]);
    if (value == absent) continue;
    if (listed)
      list.push_back(value);
    else
      out.args.push_back({std::to_string(i), value});
  }
  if (listed) out.args.push_back({"0", std::move(list)});
  for (const AttributeDef& a : node.attributes) {
    const AttributeDef* given = &a;
    if (!a.ref.empty()) {
      given = nullptr;
      if (scope.attributes)
        for (const AttributeDef& outer : *scope.attributes)
          if (outer.name == a.ref) given = &outer;
      if (!given) continue;  // left out at the call: the operator's default
    }
    ForeignArg arg = attribute(scope, *given, node);
    arg.name = a.name;
    out.args.push_back(std::move(arg));
  }
  return out;
}

ForeignArg Importer::attribute(Scope&, const AttributeDef& a, const NodeDef& node) {
  const std::string name(a.name);
  switch (a.type) {
    case is_float: return {name, Attr(shortest(a.number))};
    case is_int: return {name, Attr(a.integer)};
    case is_string: return {name, Attr(std::string(a.text))};
    case is_floats: {
      Floats numbers;
      for (const float number : a.numbers) numbers.push_back(shortest(number));
      return {name, Attr(std::move(numbers))};
    }
    case is_ints: return {name, Attr(a.integers)};
    case is_strings: return {name, Attr(Strings(a.texts.begin(), a.texts.end()))};
    case is_tensor:
      if (a.tensor) {
        Tensor tensor = tensors_.read(*a.tensor, fmt::format("attribute '{}' of {}", name, title(node)));
        std::string key = tensor.count() <= longest_unnamed ? "" : node.outputs.empty() ? name : std::string(node.outputs[0]);
        return {name, graph_.add_constant(std::move(tensor), std::move(key))};
      }
      break;
    default: break;
  }
  fail({.code = "E203",
        .message = fmt::format("'{}' has the attribute '{}', which is {}", node.op, name,
                               a.type == is_graph ? "a graph: Wherry has no loops or branches" : "of a kind that Wherry does not read"),
        .at = title(node),
        .next = "export the model without it, for example unrolled for fixed sizes"});
}

void Importer::bind(Scope& scope, const NodeDef& node, const std::vector<ValueId>& values) {
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (i < values.size() && values[i] != absent)
      scope.names[node.outputs[i]] = {.value = values[i]};
    else
      scope.names[node.outputs[i]] = {
          .why_not = fmt::format("'{}', output {} of '{}' at {}, is not computed by Wherry", node.outputs[i], i, node.op, title(node))};
  }
}

void Importer::bind_broken(Scope& scope, const NodeDef& node) {
  for (const std::string_view output : node.outputs) scope.names[output] = {.broken = true};
}

void Importer::report_unknown() {
  std::vector<std::string> targets;
  for (const OpDef* op : ops_.all())
    for (const ForeignMap& map : op->onnx) targets.emplace_back(map.target);
  unknown_.report(targets, diagnostics_);
}

}  // namespace wherry::onnx
