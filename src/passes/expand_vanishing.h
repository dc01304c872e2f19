// Takes out the operators that do nothing at inference.
#pragma once

#include "ir/builder.h"

namespace wherry {

// A node whose expansion adds no node and gives back its inputs (dropout, identity, a cast to the same type) goes; whoever took
// its output takes that input. Needs: nothing. Keeps: every other node; the input keeps its own name.
// First: what stands between a convolution and its batch norm would hide the pair from every later pass.
Graph expand_vanishing(const Graph& graph, const OpTable& ops);

}  // namespace wherry
