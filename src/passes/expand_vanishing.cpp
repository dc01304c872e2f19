#include "passes/expand_vanishing.h"

#include <algorithm>

namespace wherry {

namespace {

// For each output the index of the input that it equals; empty where the node does something.
std::vector<std::size_t> passed_on(const Graph& graph, const OpTable& ops, const Node& node) {
  if (!node.op->expand || node.op->tflite) return {};
  Graph scratch;
  Node inner = node;
  for (std::size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] != absent) inner.inputs[i] = scratch.add_value({graph[node.inputs[i]].name, graph.type(node.inputs[i]), {}});
  const std::size_t given = scratch.values.size();
  for (ValueId& v : inner.outputs) v = scratch.add_value(graph[v]);  // only their types are seen
  Builder builder(scratch, ops);
  builder.at(node.path, node.source);
  const std::vector<ValueId> results = node.op->expand(builder, inner);
  std::vector<std::size_t> from;
  for (const ValueId v : results) {
    if (!scratch.nodes.empty() || v == absent || static_cast<std::size_t>(v) >= given) return {};
    from.push_back(static_cast<std::size_t>(std::find(inner.inputs.begin(), inner.inputs.end(), v) - inner.inputs.begin()));
  }
  return from;
}

}  // namespace

Graph expand_vanishing(const Graph& graph, const OpTable& ops) {
  Rewriter rw(graph, ops);
  for (const Node& node : graph.nodes) {
    const std::vector<std::size_t> from = passed_on(graph, ops, node);
    if (from.empty()) rw.copy(node);
    for (std::size_t i = 0; i < from.size(); ++i) rw.map(node.outputs[i], rw[node.inputs[from[i]]]);
  }
  return rw.finish();
}

}  // namespace wherry
