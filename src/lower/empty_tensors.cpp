#include "lower/empty_tensors.h"

#include "ir/builder.h"
#include "ir/fold_node.h"

#include <algorithm>

namespace wherry {

Graph without_empty_tensors(const Graph& graph, const OpTable& ops) {
  if (std::none_of(graph.values.begin(), graph.values.end(), [](const Value& v) { return is_empty(v.type.shape); })) return graph;
  Rewriter rw(graph, ops);
  std::vector<bool> settled(graph.values.size());
  const auto settle = [&](ValueId value, Tensor tensor) {
    settled[static_cast<std::size_t>(value)] = true;
    rw.map(value, rw.graph().add_constant(std::move(tensor), graph[value].name));
  };
  const auto settle_empty = [&](ValueId value) {
    const Type& type = graph.type(value);
    settle(value, Tensor::allocate(type.dtype, sizes(type.shape)));
  };
  for (const Port& port : graph.inputs)
    if (is_empty(graph.type(port.value).shape)) settle_empty(port.value);
  for (const Node& node : graph.nodes) {
    if (std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return is_empty(graph.type(v).shape); })) {
      for (const ValueId v : node.outputs) settle_empty(v);
      continue;
    }
    Node fresh = node;
    for (ValueId& v : fresh.inputs) v = rw[v];
    std::vector<Tensor> made;
    if (std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return v != absent && settled[static_cast<std::size_t>(v)]; }))
      made = fold_node(rw.graph(), ops, fresh, [](const Graph&, const Node&, const std::vector<Type>&) { return true; });
    if (made.empty()) rw.copy(node);
    for (std::size_t i = 0; i < made.size(); ++i) settle(node.outputs[i], std::move(made[i]));
  }
  return rw.finish();
}

}  // namespace wherry
