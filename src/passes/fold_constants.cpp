#include "passes/fold_constants.h"

#include <algorithm>

namespace wherry {

namespace {

constexpr std::size_t always_small = 1 << 20;  // bytes that are folded whatever went in
constexpr std::size_t most_growth = 4;

bool has_arithmetic(DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::float16:
    case DType::bfloat16:
    case DType::float64:
    case DType::int64:
    case DType::int32:
    case DType::int16:
    case DType::int8:
    case DType::uint8:
    case DType::boolean: return true;
    default: return false;
  }
}

DType computed_as(DType dtype) { return is_float(dtype) ? DType::float32 : dtype; }

bool all_constant(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId v) { return v == absent || (graph.is_constant(v) && has_arithmetic(graph.type(v).dtype)); });
}

bool worth_it(const Graph& graph, const Node& node, const std::vector<Type>& outputs) {
  std::size_t in = 0, out = 0;
  for (const ValueId v : node.inputs)
    if (v != absent) in += graph[v].constant->bytes();
  for (const Type& type : outputs) {
    if (!is_static(type.shape) || !has_arithmetic(type.dtype)) return false;
    out += static_cast<std::size_t>(element_count(sizes(type.shape))) * byte_size(type.dtype);
  }
  return out <= std::max(always_small, most_growth * in);
}

std::vector<Tensor> evaluated(const Graph& graph, const Node& node, const std::vector<Type>& types) {
  std::vector<Tensor> inputs;
  for (const ValueId v : node.inputs) inputs.push_back(v == absent ? Tensor() : graph[v].constant->cast(computed_as(graph.type(v).dtype)));
  std::vector<const Tensor*> seen;
  for (std::size_t i = 0; i < inputs.size(); ++i) seen.push_back(node.inputs[i] == absent ? nullptr : &inputs[i]);
  std::vector<Tensor> outputs;
  for (const Type& type : types) outputs.push_back(Tensor::allocate(computed_as(type.dtype), sizes(type.shape)));
  OpValues values{node, seen, outputs};
  node.op->eval(values);
  for (std::size_t i = 0; i < types.size(); ++i)
    if (outputs[i].dtype() != types[i].dtype) outputs[i] = outputs[i].cast(types[i].dtype);
  return outputs;
}

// The node's outputs as constants, or nothing where it is not to be folded.
std::vector<Tensor> folded(const Graph& graph, const OpTable& ops, const Node& node, int depth = 0) {
  if (!all_constant(graph, node) || depth > 16) return {};
  const std::vector<Type> types = infer_types(graph, node);
  if (!worth_it(graph, node, types)) return {};
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
    std::vector<Tensor> outputs = folded(scratch, ops, step, depth + 1);
    if (outputs.empty()) return {};
    for (std::size_t i = 0; i < outputs.size(); ++i) scratch[step.outputs[i]].constant = std::move(outputs[i]);
  }
  std::vector<Tensor> outputs;
  for (const ValueId v : results) outputs.push_back(*scratch[v].constant);
  return outputs;
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
    if (!makes_output) outputs = folded(rw.graph(), ops, fresh);
    if (outputs.empty()) rw.copy(node);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      rw.map(node.outputs[i], rw.graph().add_constant(std::move(outputs[i]), graph[node.outputs[i]].name));
  }
  return rw.finish();
}

}  // namespace wherry
