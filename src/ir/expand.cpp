#include "ir/expand.h"

#include "base/check.h"

namespace wherry {

namespace {

bool wants(const Node& node, const std::function<bool(const OpDef&)>& enough) { return !enough(*node.op) && node.op->expand; }

}  // namespace

Graph expand(const Graph& graph, const OpTable& ops, const std::function<bool(const OpDef&)>& enough) {
  const auto some_left = [&](const Graph& g) {
    return std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) { return wants(n, enough); });
  };
  if (!some_left(graph)) return graph;
  Graph current = graph;
  for (int round = 0; some_left(current); ++round) {
    WHERRY_CHECK(round < 32, "expansion of {} does not end", current.name);
    Rewriter rw(current, ops);
    for (const Node& node : current.nodes) {
      if (!wants(node, enough)) {
        rw.copy(node);
        continue;
      }
      Node fresh = node;  // expand sees the new graph's values
      for (ValueId& v : fresh.inputs) v = rw[v];
      for (ValueId& v : fresh.outputs) v = rw[v];  // for their types
      rw.builder().at(node.path, node.source);
      rw.replace(node, node.op->expand(rw.builder(), fresh));
    }
    current = rw.finish();
  }
  return current;
}

}  // namespace wherry
