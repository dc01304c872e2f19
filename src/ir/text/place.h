// Places in a text: what a caret needs, found from a line and a column.
#pragma once

#include "base/diagnostics.h"

namespace wherry {

std::vector<std::string> lines_of(std::string_view text);

// The token that begins at line:column (both from 1): a quoted string, a bracket, or a plain word up to the next separator.
// A line that is too long to show is left out.
Place place_in(const std::string& file, const std::vector<std::string>& lines, int line, int column);

}  // namespace wherry
