// Layers of a template as the text has them.
#pragma once

#include "ir/outline_merge.h"

namespace wherry::outlining {

// Layers that follow each other as name.0, name.1, … and say the same become one with `repeat`.
std::vector<Layer> layers_of(const Template& form, const std::vector<std::string>& inputs);

// conv, split:1, $input
std::string reference(const Ref& ref, const Template& form, const std::vector<std::string>& inputs);

}  // namespace wherry::outlining
