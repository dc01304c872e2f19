// The nesting of a program's arguments and results, as one name for each leaf: "x", "batch.image", "pair.0".
#pragma once

#include "import/pt2/schema.h"

namespace wherry::pt2 {

// Empty where the file does not say; then the caller takes the graph's own names.
std::vector<std::string> input_names(const Archive& archive, const Program& program);
std::vector<std::string> output_names(const Archive& archive, const Program& program);

}  // namespace wherry::pt2
