// Weights → a safetensors file, tensor by tensor, in the order of their keys.
#pragma once

#include "base/diagnostics.h"
#include "ir/weights.h"

#include <filesystem>

namespace wherry {

void write_safetensors(const Weights& weights, const std::filesystem::path& file);

}  // namespace wherry
