// One node over constants, evaluated: what import and the folding pass share.
#pragma once

#include "ir/builder.h"

namespace wherry {

// The node's results, or nothing where an input is no constant, a data type has no arithmetic, or neither eval nor expand
// gives a meaning. `worth` may refuse by the results' types.
using Worth = std::function<bool(const Graph&, const Node&, const std::vector<Type>& results)>;
std::vector<Tensor> fold_node(const Graph& graph, const OpTable& ops, const Node& node, const Worth& worth);

}  // namespace wherry
