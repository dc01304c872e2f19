// PyTorch's functional.interpolate where the operator of that name cannot say it: cubic, nearest-exact, against aliases, three axes.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::torch_resize {

std::vector<ForeignMap> maps();

}  // namespace wherry::ops::torch_resize
