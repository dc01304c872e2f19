#include "ir/graph.h"

#include "base/check.h"
#include "ir/op_def.h"

namespace wherry {

const Attr& Node::attr(std::string_view wanted) const {
  const int index = op->attr_index(wanted);
  WHERRY_CHECK(index >= 0, "operator {} has no attribute '{}'", op->name, wanted);
  return attrs[static_cast<std::size_t>(index)];
}

std::int64_t Node::integer(std::string_view wanted) const { return std::get<std::int64_t>(attr(wanted)); }
double Node::number(std::string_view wanted) const { return std::get<double>(attr(wanted)); }
bool Node::flag(std::string_view wanted) const { return std::get<bool>(attr(wanted)); }
const std::string& Node::string(std::string_view wanted) const { return std::get<std::string>(attr(wanted)); }
const Ints& Node::ints(std::string_view wanted) const { return std::get<Ints>(attr(wanted)); }
bool Node::is_none(std::string_view wanted) const { return std::holds_alternative<None>(attr(wanted)); }

std::string Node::where() const {
  if (source.file.empty()) return path;
  return fmt::format("{} ({}:{})", path, source.file, source.line);
}

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Graph::add_constant(Tensor tensor, std::string key) {
  Type type = tensor.type();
  return add_value({std::move(key), std::move(type), std::move(tensor)});
}

Uses::Uses(const Graph& graph) : users(graph.values.size()), producer(graph.values.size(), -1), is_output(graph.values.size()) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId v : graph.nodes[i].inputs)
      if (v != absent) users[static_cast<std::size_t>(v)].push_back(static_cast<int>(i));
    for (const ValueId v : graph.nodes[i].outputs) producer[static_cast<std::size_t>(v)] = static_cast<int>(i);
  }
  for (const Port& port : graph.outputs) is_output[static_cast<std::size_t>(port.value)] = true;
}

}  // namespace wherry
