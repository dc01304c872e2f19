// What a foreign operator means, said in ours by a line of text: "self + weight * (end - self)".
//
//   formula   = { name "=" sum ";" } sum { "," sum }                       one sum for each result
//   sum       = product { ("+" | "-") product }
//   product   = negation { ("*" | "/") negation }
//   negation  = [ "-" ] primary
//   primary   = number | word | call | "(" sum ")" | "[" sum { "," sum } "]"
//   call      = operator "(" [ sum { "," sum } ] { "," attribute ":" sum } ")"
//   word      = name [ "|" default ]       a name given before, an argument (or its default), a data type, true, false, none, inf
//
// An operator is one of ours, or the name of a formula whose arguments are self and other. Numbers are computed as they are; beside
// tensors they take part in PyTorch's type promotion, and so do the arguments of operators that go element by element.
#pragma once

#include "ir/builder.h"

namespace wherry::ops {

// The values of the formula. An argument of the node that the formula does not name must be said in `map.pairs` ("=argument", or
// "=argument:value" where only that value is right); others are refused (E203). Integers become floats where the result is one.
std::vector<ValueId> convert_formula(Builder& b, const ForeignNode& node, const ForeignMap& map);

}  // namespace wherry::ops
