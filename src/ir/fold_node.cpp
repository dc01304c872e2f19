#include "ir/fold_node.h"

#include "base/diagnostics.h"

#include <algorithm>

namespace wherry {

namespace {

bool all_constant(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId v) { return v == absent || (graph.is_constant(v) && is_number(graph.type(v).dtype)); });
}

bool all_computable(const std::vector<Type>& types) {
  return std::all_of(types.begin(), types.end(), [](const Type& t) { return is_static(t.shape) && is_number(t.dtype); });
}

std::vector<Tensor> evaluated(const Graph& graph, const Node& node, const std::vector<Type>& types) {
  std::vector<Tensor> inputs;
  for (const ValueId v : node.inputs) inputs.push_back(v == absent ? Tensor() : graph[v].constant->cast(computed_as(graph.type(v).dtype)));
  std::vector<const Tensor*> seen;
  for (std::size_t i = 0; i < inputs.size(); ++i) seen.push_back(node.inputs[i] == absent ? nullptr : &inputs[i]);
  std::vector<Tensor> outputs;
  for (const Type& type : types) outputs.push_back(Tensor::allocate(computed_as(type.dtype), sizes(type.shape)));
  OpValues values{node, seen, outputs};
  try {
    node.op->eval(values);
  } catch (const Failure&) {
    return {};  // no evaluation for these types: the node stays
  }
  for (std::size_t i = 0; i < types.size(); ++i)
    if (outputs[i].dtype() != types[i].dtype) outputs[i] = outputs[i].cast(types[i].dtype);
  return outputs;
}

// The node's outputs as constants, or nothing where it is not to be folded.
std::vector<Tensor> folded(const Graph& graph, const OpTable& ops, const Node& node, const Worth& worth, int depth) {
  if (!all_constant(graph, node) || depth > 16) return {};
  const std::vector<Type> types = infer_types(graph, node);
  if (!all_computable(types) || !worth(graph, node, types)) return {};
  if (node.op->eval) return evaluated(graph, node, types);
  if (!node.op->expand) return {};

  Graph scratch;  // what the operator means, over the same constants
  Node inner = node;
  for (ValueId& v : inner.inputs)
    if (v != absent) v = scratch.add_value(graph[v]);
  for (std::size_t i = 0; i < types.size(); ++i) inner.outputs[i] = scratch.add_value({{}, types[i], {}});
  Builder builder(scratch, ops);
  builder.at(node.path, node.source);
  const std::vector<ValueId> results = node.op->expand(builder, inner);
  for (std::size_t n = 0; n < scratch.nodes.size(); ++n) {
    const Node step = scratch.nodes[n];
    std::vector<Tensor> outputs = folded(scratch, ops, step, worth, depth + 1);
    if (outputs.empty()) return {};
    for (std::size_t i = 0; i < outputs.size(); ++i) scratch[step.outputs[i]].constant = std::move(outputs[i]);
  }
  std::vector<Tensor> outputs;
  for (const ValueId v : results) outputs.push_back(*scratch[v].constant);
  return outputs;
}

}  // namespace

std::vector<Tensor> fold_node(const Graph& graph, const OpTable& ops, const Node& node, const Worth& worth) {
  return folded(graph, ops, node, worth, 0);
}

}  // namespace wherry
