// Recognises channel_shuffle written as reshape, permute, reshape.
#pragma once

#include "ir/builder.h"

namespace wherry {

// [N, C, …] → [N, g, C/g, …] → axes 1 and 2 exchanged → [N, C, …], each taken once, becomes channel_shuffle(groups: g).
// Needs: expand_vanishing (a contiguous() stands in the usual way of writing it). Keeps: everything else.
// Before fold_channel_shuffle, which knows the operator by its name.
Graph name_channel_shuffle(const Graph& graph, const OpTable& ops);

}  // namespace wherry
