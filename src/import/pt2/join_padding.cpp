#include "import/pt2/join_padding.h"

#include <algorithm>

namespace wherry::pt2 {

namespace {

// The convolution's padding and the pad's together, before and after each axis; nothing where they are no such pair.
std::optional<Ints> joined(const Node& pad, const Node& conv, std::size_t axes) {
  const std::size_t dot = conv.path.rfind('.');
  if (dot == std::string::npos || pad.path != conv.path.substr(0, dot) + ".pad") return {};
  const Ints& added = pad.ints("pad");  // the last axis first
  const Ints* own = std::get_if<Ints>(&conv.attr("padding"));
  if (pad.string("mode") != "constant" || pad.number("value") != 0 || added.size() != 2 * axes || !own || own->size() != axes) return {};
  if (std::any_of(added.begin(), added.end(), [](std::int64_t n) { return n < 0; })) return {};
  if (std::any_of(own->begin(), own->end(), [](std::int64_t n) { return n != 0; })) return {};
  Ints sides, even;
  for (std::size_t axis = axes; axis-- > 0;) {
    sides.insert(sides.end(), {added[2 * axis], added[2 * axis + 1]});
    if (added[2 * axis] == added[2 * axis + 1]) even.push_back(added[2 * axis]);
  }
  return even.size() == axes ? even : sides;
}

}  // namespace

Graph join_padding(const Graph& graph, const OpTable& ops) {
  const Uses uses(graph);
  Rewriter rw(graph, ops);
  bool any = false;
  for (const Node& node : graph.nodes) {
    const std::size_t axes = node.op->name == "conv2d" ? 2 : node.op->name == "conv1d" ? 1 : 0;
    const int producer = axes > 0 ? uses.producer[static_cast<std::size_t>(node.inputs[0])] : -1;
    const Node* pad = producer >= 0 && uses.single(node.inputs[0]) ? &graph.nodes[static_cast<std::size_t>(producer)] : nullptr;
    const std::optional<Ints> padding = pad && pad->op->name == "pad" ? joined(*pad, node, axes) : std::nullopt;
    if (!padding) {
      rw.copy(node);
      continue;
    }
    any = true;
    std::vector<ValueId> inputs = {rw[pad->inputs[0]]};
    for (std::size_t i = 1; i < node.inputs.size(); ++i) inputs.push_back(rw[node.inputs[i]]);
    std::vector<Attr> attrs = node.attrs;
    attrs[static_cast<std::size_t>(node.op->attr_index("padding"))] = *padding;
    const std::string path = node.path.substr(0, node.path.rfind('.'));
    rw.builder().at(path, node.source);
    rw.map(node.outputs[0], rw.builder().node(*node.op, inputs, attrs, path)[0]);
  }
  return any ? rw.finish() : graph;
}

}  // namespace wherry::pt2
