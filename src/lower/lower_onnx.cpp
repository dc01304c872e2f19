#include "lower/lower_onnx.h"

#include "ir/expand.h"

namespace wherry {

namespace {

// Steps of an expansion may have the name of the value that they end in: the last keeps it.
void name_once(Graph& graph) {
  std::set<std::string> taken;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node)
    for (const ValueId v : node->outputs)
      if (!taken.insert(graph[v].name).second) graph[v].name.clear();
}

}  // namespace

OnnxGraph lower_to_onnx(const Graph& source, const OpTable& ops, int opset, Diagnostics& diagnostics) {
  if (opset < oldest_onnx_opset || opset > newest_onnx_opset)
    fail({.code = "E901",
          .message = fmt::format("opset {} is not one that Wherry writes", opset),
          .next = fmt::format("choose one from --opset {} to --opset {}", oldest_onnx_opset, newest_onnx_opset)});
  const auto enough = [&](const OpDef& op) { return static_cast<bool>(op.onnx_out) && onnx_since(op.onnx_out).second <= opset; };
  Graph graph = expand(source, ops, enough);
  name_once(graph);
  OnnxGraph target{.name = source.name, .opset = opset};
  OnnxLowering lowering(graph, target);
  for (const Port& port : graph.inputs) lowering.input(port);
  for (const Node& node : graph.nodes) {
    try {
      if (!enough(*node.op)) lowering.refuse(node, fmt::format("opset {} has no operator for it", opset));
      lowering.lower(node);
    } catch (const Failure& failure) {
      for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics.add(diagnostic);
    }
  }
  if (diagnostics.has_errors()) return target;
  for (const Port& port : graph.outputs) lowering.output(port);
  return target;
}

}  // namespace wherry
