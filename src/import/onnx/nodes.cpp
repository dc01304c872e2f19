// The importer's part that turns nodes of the file into ours.
#include "base/text.h"
#include "import/onnx/importer.h"
#include "ir/fold_node.h"

#include <algorithm>
#include <charconv>

namespace wherry::onnx {

namespace {

constexpr std::int64_t longest_unnamed = 8;  // elements of a folded constant that the text spells out

enum AttributeType { is_float = 1, is_int, is_string, is_tensor, is_graph, is_floats, is_ints, is_strings };

// What opset 7 gave another meaning, or other attributes.
constexpr std::string_view changed_by_7[] = {"Add",     "And",          "BatchNormalization",
                                             "Cast",    "Concat",       "Div",
                                             "Dropout", "Equal",        "Gemm",
                                             "Greater", "GlobalLpPool", "If",
                                             "LSTM",    "Less",         "Loop",
                                             "LpPool",  "Mul",          "Or",
                                             "PRelu",   "Pad",          "Pow",
                                             "RNN",     "GRU",          "Reshape",
                                             "Scan",    "Selu",         "Split",
                                             "Sub",     "Tile",         "Upsample",
                                             "Xor"};

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

}  // namespace

std::string title(const NodeDef& node) {
  if (!node.name.empty()) return std::string(node.name);
  return node.outputs.empty() ? std::string(node.op) : fmt::format("the {} that gives '{}'", node.op, node.outputs[0]);
}

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
  if (node.domain.empty()) {
    const auto opset = scope.opsets.find("");
    if (opset != scope.opsets.end() && opset->second < 7 &&
        std::find(std::begin(changed_by_7), std::end(changed_by_7), node.op) != std::end(changed_by_7))
      fail({.code = "E106",
            .message = fmt::format("'{}' of opset {} is not known, since opset 7 it is another operator", node.op, opset->second),
            .at = title(node),
            .next = "export the model with opset 7 or later, or bring it there with onnx.version_converter.convert_version"});
    if (node.op == "If") return run_if(scope, node);
    if (node.op == "Loop") return run_loop(scope, node);
    if (node.op == "Scan") return run_scan(scope, node);
    if (node.op == "SequenceMap") return run_sequence_map(scope, node);
    if (node.op.starts_with("Optional")) return run_optional(scope, node);
    if (is_sequence_operator(node.op)) return run_sequence(scope, node);
    const Binding* first = node.inputs.empty() ? nullptr : find(scope, node.inputs[0]);
    if (node.op == "Identity" && first && (first->sequence || (first->value == absent && !first->weight && first->why_not.empty()))) {
      Binding same = *first;
      scope.names[node.outputs.at(0)] = std::move(same);
      return;
    }
  }
  Place place = place_of(node, weights_);
  place.path = sibling(scope.path, place.path);
  run_operator(scope, node, place);
}

void Importer::run_operator(Scope& scope, const NodeDef& node, const Place& place) {
  const auto version = scope.opsets.find(node.domain);
  const OpTable::Foreign* meaning =
      ops_.onnx(target_of(node), version == scope.opsets.end() ? 1 : static_cast<int>(std::min<std::int64_t>(version->second, 1 << 20)));
  ForeignNode foreign_node = foreign(scope, node, meaning);
  if (!meaning) {
    unknown_.add(graph_, foreign_node,
                 node.domain.empty()
                     ? ""
                     : fmt::format("export the model with '{}' as a function of the file, or with ONNX's own operators", node.op));
    return bind_broken(scope, node);
  }
  const std::size_t before = graph_.nodes.size();
  builder_.at(builder_.unique_path(place.path.empty() ? std::string(meaning->op->name) : place.path), {});
  const std::vector<ValueId> values = convert_foreign(builder_, foreign_node, *meaning);
  settle(before, place);
  bind(scope, node, values);
}

std::vector<ValueId> Importer::build(Scope& scope, const NodeDef& node, std::string_view op, std::vector<ValueId> inputs,
                                     std::vector<NamedAttr> attrs) {
  Place place = place_of(node, weights_);
  place.path = sibling(scope.path, place.path);
  const std::size_t before = graph_.nodes.size();
  builder_.at(builder_.unique_path(place.path.empty() ? std::string(op) : place.path), {});
  const std::vector<ValueId> values = builder_.multi(op, std::move(inputs), std::move(attrs));
  settle(before, place);
  return values;
}

void Importer::settle(std::size_t first_node, const Place& place) {
  const bool several = graph_.nodes.size() > first_node + 1;
  for (std::size_t i = first_node; i < graph_.nodes.size(); ++i) places_[graph_.nodes[i].path] = {place.path, place.exact && !several};
  fold(first_node);
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
  if (!meaning) return out;  // only to be named
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
                               a.type == is_graph ? "a graph: Wherry has none within an operator" : "of a kind that Wherry does not read"),
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
