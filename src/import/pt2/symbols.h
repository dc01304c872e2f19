// Sizes that torch.export leaves open: its symbolic expressions as Dims, and whether two Dims mean the same.
#pragma once

#include "ir/type.h"

#include <optional>

namespace wherry::pt2 {

// "Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(1))" → "2 * s0 + 1"; nullopt when it does not parse.
std::optional<Dim> parse_symbolic(std::string_view expression);

// Equal for every size of their symbols, as far as a set of samples shows.
bool same_size(const Dim& a, const Dim& b);
bool same_shape(const Shape& a, const Shape& b);

}  // namespace wherry::pt2
