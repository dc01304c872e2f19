// YAML or JSON → TextValue: scalars resolved by YAML 1.2's core schema, every value and key with its line and column.
#pragma once

#include "base/diagnostics.h"
#include "ir/model.h"

namespace wherry {

// Faults: E301 (not well-formed; anchors, aliases, tags, several documents, nesting deeper than 100), E308 (a key twice).
// Empty when the text cannot be read at all. Never throws.
std::optional<TextValue> parse_tree(std::string_view text, const std::string& file, const std::vector<std::string>& lines,
                                    Diagnostics& diagnostics);

// What YAML's core schema makes of an unquoted scalar.
TextValue plain_scalar(const std::string& text);

}  // namespace wherry
