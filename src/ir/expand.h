// Replaces operators by what they mean in simpler ones, until every node satisfies the caller.
#pragma once

#include "ir/builder.h"

namespace wherry {

// Expands, again and again, each node whose operator is not `enough` and has an expand slot. A node that is not enough and
// has none stays: the caller reports it. Output values keep their names.
Graph expand(const Graph& graph, const OpTable& ops, const std::function<bool(const OpDef&)>& enough);

}  // namespace wherry
