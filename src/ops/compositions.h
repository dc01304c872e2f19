// Functions of PyTorch without an operator here: what each means in several operators. A row for each overload.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops {

std::span<const ForeignMap> compositions();

}  // namespace wherry::ops
