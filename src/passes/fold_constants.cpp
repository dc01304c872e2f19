#include "passes/fold_constants.h"

#include "ir/fold_node.h"

#include <algorithm>

namespace wherry {

namespace {

constexpr std::size_t always_small = 1 << 20;  // bytes that are folded whatever went in
constexpr std::size_t most_growth = 4;

// Whether a weight's folding pays: a result much larger than what went in does not.
bool worth_it(const Graph& graph, const Node& node, const std::vector<Type>& outputs) {
  std::size_t in = 0, out = 0;
  for (const ValueId v : node.inputs)
    if (v != absent) in += graph[v].constant->bytes();
  for (const Type& type : outputs) out += static_cast<std::size_t>(element_count(sizes(type.shape))) * byte_size(type.dtype);
  return out <= std::max(always_small, most_growth * in);
}

}  // namespace

Graph fold_constants(const Graph& graph, const OpTable& ops) {
  const Uses uses(graph);
  Rewriter rw(graph, ops);
  for (const Node& node : graph.nodes) {
    const bool makes_output =
        std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return uses.is_output[static_cast<std::size_t>(v)]; });
    Node fresh = node;
    for (ValueId& v : fresh.inputs) v = rw[v];
    std::vector<Tensor> outputs;
    if (!makes_output) outputs = fold_node(rw.graph(), ops, fresh, worth_it);
    if (outputs.empty()) rw.copy(node);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      rw.map(node.outputs[i], rw.graph().add_constant(std::move(outputs[i]), graph[node.outputs[i]].name));
  }
  return rw.finish();
}

}  // namespace wherry
