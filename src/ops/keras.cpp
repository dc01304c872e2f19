#include "ops/keras.h"

#include "base/text.h"

#include <fmt/format.h>

namespace wherry {

namespace {

std::string pair_text(const Ints& pair) { return text(Attr(pair)); }

std::string slice_text(const KerasSlice& s) {
  const std::string stop = s.stop ? std::to_string(*s.stop) : "";
  return fmt::format("{}:{}{}", s.start == 0 ? "" : std::to_string(s.start), stop, s.step == 1 ? "" : fmt::format(":{}", s.step));
}

std::string value_text(const KerasGraph& graph, const KerasValue& value) {
  const auto name = [&](const KerasRef& ref) {
    const KerasTensor& t = graph.tensors[static_cast<std::size_t>(ref.tensor)];
    if (t.constant) return t.constant->count() == 1 && t.constant->rank() == 0 ? fmt::format("{}", t.constant->item()) : text(t.type);
    return t.output == 0 ? t.name : fmt::format("{}:{}", t.name, t.output);
  };
  std::vector<std::string> parts;
  if (const auto* attr = std::get_if<Attr>(&value)) return text(*attr);
  if (const auto* ref = std::get_if<KerasRef>(&value)) return name(*ref);
  if (const auto* tensor = std::get_if<Tensor>(&value)) return text(tensor->type());
  if (const auto* refs = std::get_if<std::vector<KerasRef>>(&value))
    for (const KerasRef& ref : *refs) parts.push_back(name(ref));
  if (const auto* pairs = std::get_if<std::vector<Ints>>(&value))
    for (const Ints& pair : *pairs) parts.push_back(pair_text(pair));
  if (const auto* slices = std::get_if<std::vector<KerasSlice>>(&value))
    for (const KerasSlice& s : *slices) parts.push_back(slice_text(s));
  return fmt::format("[{}]", join(parts, ", "));
}

}  // namespace

std::string keras_name(std::string_view path) {
  std::string name(path);
  for (char& c : name)
    if (c == '.' || c == '/') c = '-';
  return name;
}

std::string text(const KerasGraph& graph) {
  std::string out;
  for (const KerasNode& node : graph.nodes) {
    std::vector<std::string> parts;
    for (const KerasValue& arg : node.args) parts.push_back(value_text(graph, arg));
    for (const KerasEntry& entry : node.config)
      if (!entry.is_default()) parts.push_back(fmt::format("{}={}", entry.name, value_text(graph, entry.value)));
    for (const KerasWeight& weight : node.weights) parts.push_back(fmt::format("{}: {}", weight.name, text(weight.value.type())));
    std::vector<std::string> types;
    for (const int id : node.outputs) types.push_back(text(graph.tensors[static_cast<std::size_t>(id)].type));
    out += fmt::format("{} = {}({}) -> {}\n", node.name, node.layer, join(parts, ", "), join(types, ", "));
    if (node.inner)
      for (const std::string& row : split(text(*node.inner), '\n'))
        if (!row.empty()) out += "  " + row + "\n";
  }
  std::vector<std::string> ports;
  for (const Port& port : graph.outputs)
    ports.push_back(fmt::format("{}: {}", port.name, graph.tensors[static_cast<std::size_t>(port.value)].name));
  return out + fmt::format("return {}\n", join(ports, ", "));
}

std::map<std::string, int> count_layers(const KerasGraph& graph) {
  std::map<std::string, int> counts;
  for (const KerasNode& node : graph.nodes) {
    if (node.layer != "InputLayer") ++counts[node.layer];
    if (node.inner)
      for (const auto& [layer, count] : count_layers(*node.inner))
        if (layer != "InputLayer") counts[layer] += count;
  }
  return counts;
}

}  // namespace wherry
