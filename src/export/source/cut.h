// Each use of a block as a graph of its own, for targets that keep blocks.
#pragma once

#include "export/source/program.h"

namespace wherry::source {

// The use's own operators, and one node in the place of each block that it uses: a node whose keras slot adds a layer keras_block
// with the entries `scope` and `use`. Paths are relative to the use's. Inputs and outputs are the scope's; an input that nothing takes
// is none of the graph's.
// At a block's border images lie channels last (border_order), everything else as the source has it.
Graph cut(const Program& program, const Scope& scope, const Use& use);

// How a tensor lies there: axis i of the source's value is axis order[i] of it.
std::vector<int> border_order(const Type& type);

}  // namespace wherry::source
