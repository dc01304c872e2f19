// When a layer that some instances of a block lack is there.
#pragma once

#include "ir/outline_columns.h"

namespace wherry::outlining {

// Whether the layer adds the block's input to something.
bool is_residual(const Line& line);

// A condition on the block's parameters that says exactly where the line is on: "$in != $mid", "$groups > 1"; "" : there is
// none that would not be a coincidence.
std::string condition(const Template& block, const Columns& columns, std::size_t line);

}  // namespace wherry::outlining
