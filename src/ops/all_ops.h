// The built-in operators: every file of this folder that defines some (cmake/op_list.cmake writes the list).
#pragma once

#include "ir/op_def.h"

namespace wherry {

using OpList = std::span<const OpDef>;
const OpTable& all_ops();

}  // namespace wherry
