// Weights for a model that has none: PyTorch's default ranges, from a generator of our own.
#pragma once

#include "ir/op_def.h"

namespace wherry {

// What an operator's parameter begins as. `first` is the shape of the operator's first parameter: a bias takes its range from
// it. The elements depend on seed, key and shape only: not on the machine, nor on the order of the calls.
Tensor initialise(const OpDef& op, std::string_view parameter, const Sizes& shape, const Sizes& first, std::uint64_t seed,
                  std::string_view key);

// Any other weight: uniform in ±bound; zeros for data types that are not plain floats.
Tensor uniform(const Type& type, double bound, std::uint64_t seed, std::string_view key);

}  // namespace wherry
