// The importer's part that makes foreign nodes and turns them into ours.
#include "import/pt2/importer.h"
#include "import/pt2/symbols.h"
#include "ops/foreign.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::pt2 {

ForeignNode Importer::foreign(Scope& scope, const NodeDef& def, std::string_view target) {
  ForeignNode node{.target = std::string(target), .source = innermost_source(def.stack_trace), .output_types = {}};
  node.output_count = static_cast<int>(outputs_.size());
  for (const std::string_view name : outputs_) node.output_types.push_back(stated(scope, name).value_or(Type{}));
  const OpTable::Foreign* meaning = ops_.torch(target);
  const std::string_view op = base_name(target);
  node.path = modules_.path(def, meaning && meaning->op ? meaning->op->name : op.ends_with('_') ? op.substr(0, op.size() - 1) : op);
  node.args.reserve(def.inputs.size());
  for (const auto& [name, input] : def.inputs) node.args.push_back(argument(scope, name, input, def, node));
  if (target == "aten.as_strided.default") add_place_in_memory(scope, def, node);
  return node;
}

// How the first argument lies in memory, which as_strided counts by.
void Importer::add_place_in_memory(const Scope& scope, const NodeDef& def, ForeignNode& node) {
  const auto self = def.inputs.empty() ? scope.graph.tensors.end() : scope.graph.tensors.find(def.inputs[0].second.name);
  if (self == scope.graph.tensors.end() || !is_static(self->second.strides) || !self->second.offset.known()) return;
  node.args.push_back({"self_strides", Attr(Ints(wherry::sizes(self->second.strides)))});
  node.args.push_back({"self_offset", Attr(self->second.offset.size())});
}

ForeignArg Importer::argument(Scope& scope, std::string_view name, const Argument& given, const NodeDef& def, ForeignNode& node) {
  std::string word(name);
  switch (given.kind) {
    case Argument::none: return {std::move(word), Attr(None{})};
    case Argument::attr: return {std::move(word), given.value};
    case Argument::tensor: return {std::move(word), read(scope, given.name)};
    case Argument::sizes: return {std::move(word), sizes(scope, name, given, node)};
    case Argument::tensors: {
      std::vector<ValueId> values;
      for (const std::string_view each : given.names) values.push_back(each.empty() ? absent : read(scope, each));
      return {std::move(word), std::move(values)};
    }
    case Argument::graph:
    case Argument::other: break;
  }
  fail({.code = "E203",
        .message =
            fmt::format("'{}' takes {}, which Wherry does not read", node.target, given.kind == Argument::graph ? "a graph" : given.name),
        .at = where(node),
        .next = fmt::format("write the layer without {}", def.target)});
}

// Sizes of which some are symbolic: -1 where the operator finds them out by itself, else words that no number can be read from.
Attr Importer::sizes(const Scope& scope, std::string_view name, const Argument& given, const ForeignNode& node) const {
  Shape shape;
  for (const auto& [word, number] : given.parts) {
    const auto it = scope.graph.sizes.find(word);
    if (!word.empty() && it == scope.graph.sizes.end())
      archive_.damaged(fmt::format("its graph takes the size '{}', which nothing gives", word), "E104");
    shape.push_back(word.empty() ? Dim(number) : it->second);
  }
  if (given.single) {
    if (shape[0].known()) return shape[0].size();
    const Attr* dim = node.attr("dim");
    const auto* axis = dim ? std::get_if<std::int64_t>(dim) : nullptr;
    if (name == "end" && !node.args.empty() && std::holds_alternative<ValueId>(node.args[0].value)) {
      const Shape& sliced = builder_.type(std::get<ValueId>(node.args[0].value)).shape;
      const std::int64_t at = axis ? *axis + (*axis < 0 ? static_cast<std::int64_t>(sliced.size()) : 0) : 0;
      if (at >= 0 && at < static_cast<std::int64_t>(sliced.size()) && same_size(sliced[static_cast<std::size_t>(at)], shape[0]))
        return std::numeric_limits<std::int64_t>::max();
    }
    return shape[0].text();
  }
  if (is_static(shape)) return wherry::sizes(shape);
  const std::string_view op = base_name(node.target);
  const bool reshapes = op == "view" || op == "reshape" || op == "_unsafe_view" || op == "unflatten" || op == "expand";
  const bool says_all = reshapes && op != "unflatten" && !node.output_types.empty() && node.output_types[0].shape.size() == shape.size();
  Ints numbers;
  Strings words;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (says_all && shape[i] == Dim(-1)) shape[i] = node.output_types[0].shape[i];
    numbers.push_back(shape[i].known() ? shape[i].size() : -1);
    words.push_back(shape[i].text());
  }
  if (op == "expand") return numbers;  // -1 keeps a size
  if (reshapes && std::count(numbers.begin(), numbers.end(), -1) == 1) return numbers;
  return words;
}

// PyTorch's functions of one tensor take integers where their result is a float: sqrt, exp, sigmoid.
std::optional<ForeignNode> Importer::of_floats(const ForeignNode& node, const OpTable::Foreign& meaning) {
  const bool one_tensor = meaning.op && meaning.op->layout.kind == LayoutRule::any && meaning.op->inputs.size() == 1;
  if (!one_tensor || meaning.op->name == "cast" || node.args.empty() || node.output_types.empty()) return {};
  const auto* value = std::get_if<ValueId>(&node.args[0].value);
  const DType wanted = node.output_types[0].dtype;
  if (!value || *value == absent || !is_float(wanted) || is_float(builder_.type(*value).dtype)) return {};
  ForeignNode floats = node;
  floats.args[0].value = ops::cast(builder_, *value, wanted);
  return floats;
}

std::vector<ValueId> Importer::call(const ForeignNode& node) {
  const OpTable::Foreign* meaning = ops_.torch(node.target);
  if (!meaning) return {};
  const auto is_input = [&](const Port& port) { return port.name == node.path; };
  const bool taken = std::any_of(graph_.inputs.begin(), graph_.inputs.end(), is_input);  // the text names inputs and layers alike
  builder_.at(builder_.unique_path(taken ? node.path + "_1" : node.path), node.source);
  const std::optional<ForeignNode> floats = of_floats(node, *meaning);
  return convert_foreign(builder_, floats ? *floats : node, *meaning);
}

// The operator's results, of the types that the file states. Ends with an empty Failure where the operator is not known:
// unknown_ has it then.
std::vector<ValueId> Importer::checked_call(const ForeignNode& node) {
  if (!ops_.torch(node.target)) {
    unknown_.add(graph_, node);
    throw Failure({});
  }
  const std::vector<ValueId> values = call(node);
  for (std::size_t i = 0; i < values.size() && i < node.output_types.size(); ++i) {
    if (values[i] == absent || (values.size() > 1 && outputs_.size() == values.size() && outputs_[i].empty())) continue;
    const Type& found = builder_.type(values[i]);
    const Type& expected = node.output_types[i];
    if (found.dtype != expected.dtype || !same_shape(found.shape, expected.shape))
      fail({.code = "E501",
            .message = fmt::format("'{}' gives {} here, but PyTorch recorded {}", node.target, text(found), text(expected)),
            .at = where(node),
            .in = describe_inputs(graph_, node),
            .next = "Wherry reads this operator wrongly, or the file was changed: report it with the file"});
  }
  return values;
}

}  // namespace wherry::pt2
