// Operators' examples as graphs: what the docs show, the tests run.
//   conv2d(x: float32[1, 3, 8, 8], in: 3, out: 4, kernel_size: 3)
// An operator's name; its inputs as `name: type`, several as `xs: [type, type]`; then hyperparameters and attributes as the
// text form writes them. An input may say more: `const float32[4]` is a constant, `0.5` a scalar constant,
// `int64[3] = [0, 2, 1]` has these elements, `float32[4] in 0..1` elements of that range (both ends; floats lie in -2..2 where
// nothing is said, integers in 0..9). Weights that the layer owns are made from the hyperparameters.
#pragma once

#include "ir/builder.h"

namespace wherry {

struct Example {
  std::string text;
  Graph graph;                 // one node; all its outputs are the graph's, named by their number
  std::vector<Tensor> inputs;  // seeded by the text: the same on every machine
  const Node& node() const { return graph.nodes[0]; }
};

// A fault in the example is a bug of its table row: CHECK.
Example parse_example(const OpTable& ops, std::string_view text);

}  // namespace wherry
