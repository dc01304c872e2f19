#include "ir/bind.h"

#include "base/text.h"

namespace wherry {

std::vector<std::string> open_dims(const Graph& graph) {
  std::vector<std::string> names;
  for (const Port& port : graph.inputs)
    for (const Dim& d : graph.type(port.value).shape)
      if (!d.known() && std::find(names.begin(), names.end(), d.text()) == names.end()) names.push_back(d.text());
  return names;
}

Graph bind_dims(const Graph& graph, const std::map<std::string, std::int64_t>& dims) {
  const std::vector<std::string> open = open_dims(graph);
  for (const auto& [name, size] : dims) {
    if (std::find(open.begin(), open.end(), name) == open.end())
      fail({.code = "E504",
            .message = fmt::format("the model has no dimension '{}'{}", name, did_you_mean(name, open)),
            .next = open.empty() ? "all its dimensions have sizes" : "its open dimensions: " + join(open, ", ")});
    if (size <= 0)
      fail({.code = "E503", .message = fmt::format("dimension '{}' cannot be {}", name, size), .next = "give a positive size"});
  }
  if (dims.empty()) return graph;
  Graph bound = graph;
  for (const Port& port : bound.inputs)
    for (Dim& d : bound[port.value].type.shape)
      if (const auto it = d.known() ? dims.end() : dims.find(d.text()); it != dims.end()) d = Dim(it->second);
  for (const Node& node : bound.nodes) {
    const std::vector<Type> types = infer_types(bound, node);
    for (std::size_t i = 0; i < types.size(); ++i) bound[node.outputs[i]].type = types[i];
  }
  return bound;
}

Graph with_open_as_one(const Graph& graph) {
  std::map<std::string, std::int64_t> ones;
  for (const std::string& name : open_dims(graph)) ones[name] = 1;
  return ones.empty() ? graph : bind_dims(graph, ones);
}

}  // namespace wherry
