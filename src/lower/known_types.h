// Arithmetic in the types that TFLite's kernels know.
#pragma once

#include "ir/op_def.h"

namespace wherry {

// Every float is computed as float32, an integer that an operator's slot does not name as the first there that holds it, with casts
// where a port or a cast has another type. Keeps: the types of inputs and outputs. A graph without such types stays as it is.
// Needs: expanded for TFLite.
Graph in_known_types(const Graph& graph, const OpTable& ops);

// Whether the slot's kernels compute numbers of this type.
bool knows_integers(const TflSlot& slot, DType dtype);

}  // namespace wherry
