// Weights by key, as a file beside the text holds them: "backbone.stages.xif2_0.pw.conv.weight".
#pragma once

#include "ir/tensor.h"

#include <map>
#include <string>

namespace wherry {

using Weights = std::map<std::string, Tensor, std::less<>>;

}  // namespace wherry
