// Small rewrites about a node and the one before it.
#pragma once

#include "ir/builder.h"

namespace wherry {

// Rules (rows of simplify.cpp): a move or cast that changes nothing goes, two in a row become one; x * 1, x + 0 and the like are x;
// relu and relu6 in a row are one, and so are clamps; hardswish and hardsigmoid that are written out get their names; a pad that adds
// nothing goes, two with the same constant are one; an operand that arithmetic broadcasts by itself is not expanded before.
//
// Needs: nothing. Keeps: names of the values that stay.
// Last: what the passes before it take out brings the pairs together.
Graph simplify(const Graph& graph, const OpTable& ops);

}  // namespace wherry
