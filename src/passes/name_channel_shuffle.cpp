#include "passes/name_channel_shuffle.h"

#include <algorithm>

namespace wherry {

namespace {

// The node that makes `v` for one taker only.
const Node* sole_producer(const Graph& graph, const Uses& uses, ValueId v) {
  const int index = uses.producer[static_cast<std::size_t>(v)];
  return index >= 0 && uses.single(v) ? &graph.nodes[static_cast<std::size_t>(index)] : nullptr;
}

bool exchanges_1_and_2(const Node& node, std::int64_t rank) {
  const auto axis = [&](std::int64_t d) { return d < 0 ? d + rank : d; };
  if (node.op->name == "transpose") {
    const std::int64_t a = axis(node.integer("dim0")), b = axis(node.integer("dim1"));
    return std::min(a, b) == 1 && std::max(a, b) == 2;
  }
  if (node.op->name != "permute") return false;
  const Ints& dims = node.ints("dims");
  for (std::int64_t i = 0; i < rank; ++i)
    if (axis(dims[static_cast<std::size_t>(i)]) != (i == 1 ? 2 : i == 2 ? 1 : i)) return false;
  return true;
}

struct Shuffle {
  ValueId x = absent;
  std::int64_t groups = 0;
};

// `last` is the reshape that ends the three.
std::optional<Shuffle> shuffle_ending_in(const Graph& graph, const Uses& uses, const Node& last) {
  const auto reshapes = [](const Node* n) { return n && (n->op->name == "reshape" || n->op->name == "flatten"); };
  if (!reshapes(&last)) return {};
  const Node* exchange = sole_producer(graph, uses, last.inputs[0]);
  if (!exchange || exchange->inputs.empty()) return {};
  const Shape& split = graph.type(exchange->inputs[0]).shape;
  if (split.size() < 4 || !exchanges_1_and_2(*exchange, static_cast<std::int64_t>(split.size()))) return {};
  const Node* first = sole_producer(graph, uses, exchange->inputs[0]);
  if (!reshapes(first)) return {};
  const Shape& x = graph.type(first->inputs[0]).shape;
  if (x != graph.type(last.outputs[0]).shape || split.size() != x.size() + 1 || !x[1].known() || !split[1].known()) return {};
  Shape expected = x;
  expected[1] = floor_div(x[1], split[1]);
  expected.insert(expected.begin() + 1, split[1]);
  if (expected != split) return {};
  return Shuffle{first->inputs[0], split[1].size()};
}

}  // namespace

Graph name_channel_shuffle(const Graph& graph, const OpTable& ops) {
  const Uses uses(graph);
  Rewriter rw(graph, ops);
  for (const Node& node : graph.nodes) {
    const std::optional<Shuffle> shuffle = shuffle_ending_in(graph, uses, node);
    if (!shuffle) {
      rw.copy(node);
      continue;
    }
    rw.builder().at(node.path, node.source);
    rw.replace(node, {rw.builder()("channel_shuffle", {rw[shuffle->x]}, {{"groups", shuffle->groups}})});
  }
  return rw.finish();
}

}  // namespace wherry
