// Evaluates what depends on no input.
#pragma once

#include "ir/builder.h"

namespace wherry {

// Nodes whose inputs are all constant become constants, through their operator's eval slot or its expansion's. What would
// grow far beyond what went in stays a node, and so does one that makes an output of the graph.
// Needs: nothing. Keeps: every value that stays, with its name and type.
// First of all that match patterns: weights that a model computes (transposed, cast, sliced) are plain weights after it.
Graph fold_constants(const Graph& graph, const OpTable& ops);

}  // namespace wherry
