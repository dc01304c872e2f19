// Inputs for a comparison: made from a seed, or read from a .npz or .npy file.
#pragma once

#include "verify/side.h"

namespace wherry {

std::vector<Tensor> seeded_inputs(const std::vector<NamedType>& wanted, std::uint64_t seed);
// By name; or in order when the file holds as many arrays as are wanted. E705 with both sides' names and types, E102 when damaged.
std::vector<Tensor> read_inputs(const std::filesystem::path& file, const std::vector<NamedType>& wanted);

}  // namespace wherry
