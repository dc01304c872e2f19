// A safetensors file → Weights that view the mapped file.
#pragma once

#include "base/diagnostics.h"
#include "ir/weights.h"

#include <filesystem>

namespace wherry {

Weights read_safetensors(const std::filesystem::path& file);

}  // namespace wherry
