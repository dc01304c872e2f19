// A PyTorch checkpoint (.pth, .pt, .bin: torch.save of a state dict) → Weights. No code in a pickle ever runs: the reader
// knows the few globals that tensors need and refuses all others (E108).
#pragma once

#include "base/diagnostics.h"
#include "ir/weights.h"

#include <filesystem>

namespace wherry {

Weights read_pth(const std::filesystem::path& file);

}  // namespace wherry
