// The reference evaluator: runs a graph by its operators' eval slots (expand where there is none). It is what a conversion
// is compared with when PyTorch is not there.
#pragma once

#include "base/diagnostics.h"
#include "ir/builder.h"

namespace wherry {

class Evaluator {
 public:
  // Fails with E704 (all operators at once) when one can be neither evaluated nor expanded, E504 when a shape is not static.
  Evaluator(const Graph& graph, const OpTable& ops);

  // Called after each node with a value that the source graph names, in execution order; `done` of `total` nodes.
  using Observe = std::function<void(const Value& value, const Tensor& tensor, int done, int total)>;

  // Inputs in the graph's order and types (float tensors of any float type: E705 otherwise). Float arithmetic is float32
  // whatever the graph's float types; outputs are cast back to them. Memory: the tensors alive at one node.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const Observe& observe = {}) const;

  const Graph& graph() const { return graph_; }

 private:
  Graph graph_;
  std::vector<std::vector<ValueId>> dies_after_;  // by node: values not used later
};

// One tensor for each type, seeded: floats normally distributed, integers in [0, 10), bools either way. Needs: static shapes.
std::vector<Tensor> seeded_tensors(const std::vector<Type>& types, std::uint64_t seed);

}  // namespace wherry
