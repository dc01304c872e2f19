// Permutes move behind the operators that follow them, as far as an operator's layout rule lets them, and vanish where two meet.
#pragma once

#include "ir/builder.h"

namespace wherry {

// Keeps: what the graph computes. Names of values stay, but a value may have its axes in another order than before.
Graph sink_permutes(const Graph& graph, const OpTable& ops);

}  // namespace wherry
