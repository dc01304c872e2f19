// Text cases: files of tests/text/ hold models and what is said of them.
//   ==== name
//   the model's text
//   ----
//   the messages, or without faults the flat graph: a line for each node
// WHERRY_UPDATE=1 writes what is said now into the files: read the difference before you commit it.
#pragma once

#include "ir/flatten.h"
#include "ir/text/read_model.h"
#include "ops/all_ops.h"

#include <fmt/format.h>

namespace wherry {

// "path = op(inputs) attributes that differ from their defaults -> type".
inline std::string dump(const Graph& graph) {
  std::string out;
  for (const Node& node : graph.nodes) {
    std::vector<std::string> parts;
    for (const ValueId v : node.inputs) {
      const bool literal = graph.is_constant(v) && graph[v].name.empty();
      const bool scalar = literal && graph[v].constant->rank() == 0;
      const std::string type = v == absent ? "" : text(graph.type(v));
      parts.push_back(v == absent ? "-" : scalar ? fmt::format("{} {}", type, graph[v].constant->item()) : literal ? type : graph[v].name);
    }
    out += fmt::format("{} = {}({})", node.path, node.op->name, fmt::join(parts, ", "));
    for (std::size_t i = 0; i < node.attrs.size(); ++i)
      if (node.op->attrs[i].fallback != node.attrs[i]) out += fmt::format(" {}={}", node.op->attrs[i].name, text(node.attrs[i]));
    out += fmt::format(" -> {}\n", text(graph.type(node.outputs[0])));
  }
  for (const Port& port : graph.outputs) out += fmt::format("{}: {}\n", port.name, graph[port.value].name);
  return out;
}

inline std::string messages(const Diagnostics& diagnostics) {
  std::string all;
  for (const Diagnostic& d : diagnostics.all()) all += render(d);
  return all;
}

inline Model parse(std::string_view text, Diagnostics& diagnostics, const std::string& name = "model.yaml") {
  return parse_model(text, name, {std::filesystem::path(WHERRY_SOURCE_DIR) / "library"}, diagnostics);
}

inline std::string outcome(const std::string& text) {
  Diagnostics diagnostics;
  const Model model = parse(text, diagnostics);
  const Graph graph = flatten(model, all_ops(), {}, diagnostics);
  if (!diagnostics.all().empty()) return messages(diagnostics);
  verify(graph);
  return dump(graph);
}

}  // namespace wherry
