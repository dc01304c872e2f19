// Tensors without elements, which LiteRT's kernels do not take.
#pragma once

#include "ir/op_def.h"

namespace wherry {

// Every value without elements becomes a constant, and so does what is computed from such constants alone: a sum over none is zero.
// Keeps: inputs and outputs. A graph without such values stays as it is. Needs: every shape static.
Graph without_empty_tensors(const Graph& graph, const OpTable& ops);

}  // namespace wherry
