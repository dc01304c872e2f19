// The importer's part for sequences and optionals. What is put into them is known when the model is read, so that they vanish.
#include "import/onnx/importer.h"

namespace wherry::onnx {

namespace {

[[noreturn]] void refuse(const NodeDef& node, std::string message) {
  fail({.code = "E203", .message = std::move(message), .at = title(node), .next = "export the model with tensors in place of sequences"});
}

std::size_t position(const NodeDef& node, std::int64_t at, std::size_t size, bool behind) {
  const auto length = static_cast<std::int64_t>(size);
  if (at < 0) at += length;
  if (at < 0 || at > length || (at == length && !behind))
    refuse(node, fmt::format("'{}' wants position {} of a sequence of {}", node.op, at, size));
  return static_cast<std::size_t>(at);
}

std::int64_t integer(const NodeDef& node, std::string_view name, std::int64_t fallback) {
  const AttributeDef* attribute = node.find(name);
  return attribute ? attribute->integer : fallback;
}

}  // namespace

bool is_sequence_operator(std::string_view op) {
  static constexpr std::string_view all[] = {"SequenceEmpty", "SequenceConstruct", "SequenceAt",      "SequenceInsert",
                                             "SequenceErase", "SequenceLength",    "SplitToSequence", "ConcatFromSequence"};
  return std::find(std::begin(all), std::end(all), op) != std::end(all);
}

const std::vector<ValueId>& Importer::elements(Scope& scope, const NodeDef& node, std::size_t input) {
  Binding* binding = input < node.inputs.size() ? find(scope, node.inputs[input]) : nullptr;
  if (!binding || !binding->sequence) refuse(node, fmt::format("input {} of '{}' is no sequence", input, node.op));
  return *binding->sequence;
}

// Nothing where the input is not given.
std::optional<std::int64_t> Importer::known_integer(Scope& scope, const NodeDef& node, std::size_t input) {
  if (input >= node.inputs.size() || node.inputs[input].empty()) return std::nullopt;
  const ValueId value = read(scope, node.inputs[input]);
  if (value == absent) return std::nullopt;
  if (!graph_.is_constant(value) || graph_[value].constant->count() != 1 || is_float(graph_.type(value).dtype))
    fail({.code = "E203",
          .message = fmt::format("'{}' takes its input {} from what the model computes; a fixed number is needed", node.op, input),
          .at = title(node),
          .next = "export the model with fixed sizes"});
  return graph_[value].constant->integer();
}

void Importer::run_sequence(Scope& scope, const NodeDef& node) {
  const auto tensor = [&](std::size_t input) {
    const ValueId value = input < node.inputs.size() ? read(scope, node.inputs[input]) : absent;
    if (value == absent) refuse(node, fmt::format("'{}' lacks its input {}", node.op, input));
    return value;
  };
  const auto give = [&](Binding binding) {
    if (!node.outputs.empty()) scope.names[node.outputs[0]] = std::move(binding);
  };
  if (node.op == "SequenceEmpty") return give({.sequence = std::vector<ValueId>{}});
  if (node.op == "SequenceConstruct") {
    std::vector<ValueId> made;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) made.push_back(tensor(i));
    return give({.sequence = std::move(made)});
  }
  if (node.op == "SplitToSequence") return give({.sequence = split_to_sequence(scope, node, tensor(0))});
  std::vector<ValueId> list = elements(scope, node, 0);
  if (node.op == "SequenceLength")
    return give({.value = graph_.add_constant(Tensor::from<std::int64_t>({static_cast<std::int64_t>(list.size())}, {}), "")});
  if (node.op == "SequenceAt") {
    const std::optional<std::int64_t> at = known_integer(scope, node, 1);
    return give({.value = list[position(node, at.value_or(0), list.size(), false)]});
  }
  if (node.op == "SequenceInsert") {
    const std::optional<std::int64_t> at = known_integer(scope, node, 2);
    const std::size_t where = at ? position(node, *at, list.size(), true) : list.size();
    list.insert(list.begin() + static_cast<std::ptrdiff_t>(where), tensor(1));
    return give({.sequence = std::move(list)});
  }
  if (node.op == "SequenceErase") {
    const std::size_t where = position(node, known_integer(scope, node, 1).value_or(-1), list.size(), false);
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(where));
    return give({.sequence = std::move(list)});
  }
  // ConcatFromSequence
  if (list.empty()) refuse(node, fmt::format("'{}' of an empty sequence", node.op));
  const std::string_view op = integer(node, "new_axis", 0) != 0 ? "stack" : "cat";
  give({.value = build(scope, node, op, std::move(list), {{"dim", integer(node, "axis", 0)}})[0]});
}

// Parts of one size, or of the sizes in input 1; without it each position by itself, with or without its axis.
std::vector<ValueId> Importer::split_to_sequence(Scope& scope, const NodeDef& node, ValueId x) {
  const std::int64_t axis = integer(node, "axis", 0);
  const bool given = node.inputs.size() > 1 && !node.inputs[1].empty();
  if (!given && integer(node, "keepdims", 1) == 0) return build(scope, node, "unbind", {x}, {{"dim", axis}});
  Ints sizes = {1};
  if (given) {
    const ValueId value = read(scope, node.inputs[1]);
    if (!graph_.is_constant(value) || is_float(graph_.type(value).dtype))
      refuse(node, "'SplitToSequence' takes its sizes from what the model computes; fixed numbers are needed");
    sizes = graph_[value].constant->to_ints();
    if (!graph_.type(value).shape.empty()) return build(scope, node, "split", {x}, {{"split_size_or_sections", sizes}, {"dim", axis}});
  }
  return build(scope, node, "split", {x}, {{"split_size_or_sections", sizes.at(0)}, {"dim", axis}});
}

// The body for each element; tensors among the inputs are the same for all.
void Importer::run_sequence_map(Scope& scope, const NodeDef& node) {
  const AttributeDef* attribute = node.find("body");
  if (!attribute || !attribute->graph || attribute->graph->outputs.size() < node.outputs.size())
    fail({.code = "E103", .message = "'SequenceMap' lacks its body, or one of its results", .at = title(node)});
  const GraphDef& body = *attribute->graph;
  Scope shared = body_scope(scope, node, body, "map");
  std::vector<Binding> given;
  for (const std::string_view input : node.inputs) given.push_back(take(scope, input));
  std::vector<std::vector<ValueId>> results(node.outputs.size());
  const std::size_t count = elements(scope, node, 0).size();
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Binding> one;
    for (const Binding& b : given) {
      if (b.sequence && b.sequence->size() <= i) refuse(node, "'SequenceMap' takes sequences of different lengths");
      one.push_back(b.sequence ? Binding{.value = (*b.sequence)[i]} : b);
    }
    const std::vector<Binding> made = run_body(shared, node, body, std::move(one), i);
    for (std::size_t k = 0; k < results.size(); ++k) {
      if (made[k].broken) return bind_broken(scope, node);
      results[k].push_back(made[k].value);
    }
  }
  for (std::size_t k = 0; k < results.size(); ++k) scope.names[node.outputs[k]] = {.sequence = std::move(results[k])};
}

// An optional is what it holds, or nothing.
void Importer::run_optional(Scope& scope, const NodeDef& node) {
  if (node.outputs.empty()) return;
  const bool given = !node.inputs.empty() && !node.inputs[0].empty();
  Binding held = given ? take(scope, node.inputs[0]) : Binding{};
  const bool full = held.value != absent || held.sequence;
  if (node.op == "OptionalHasElement")
    held = {.value = graph_.add_constant(Tensor::scalar(full ? 1 : 0, DType::boolean), "")};
  else if (node.op == "OptionalGetElement" && !full)
    refuse(node, "'OptionalGetElement' of an optional that is empty");
  scope.names[node.outputs[0]] = std::move(held);
}

}  // namespace wherry::onnx
