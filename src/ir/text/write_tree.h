// TextValue → YAML or JSON text: structure on lines of its own, a layer in one row, rows of at most 140 columns.
#pragma once

#include "ir/model.h"

namespace wherry {

std::string yaml_text(const TextValue& root);
std::string json_text(const TextValue& root);

// The scalar as YAML writes it within brackets: quoted where it would read back as something else.
std::string yaml_scalar(const TextValue& value);

}  // namespace wherry
