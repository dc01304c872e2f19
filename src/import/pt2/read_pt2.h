// torch.export archives (.pt2) → Graph, without PyTorch. Weights stay in the mapped file.
#pragma once

#include "base/diagnostics.h"
#include "import/archive.h"
#include "ir/builder.h"

#include <filesystem>

namespace wherry {

// All unknown operators and arguments are collected in `diagnostics` (E201, E203, E204) with module path and source line.
Graph read_pt2(const std::filesystem::path& file, const OpTable& ops, Diagnostics& diagnostics);
// The same of an archive that is open; `name` is the graph's where the archive has no folder of its own.
Graph read_pt2(Archive& archive, const std::string& name, const OpTable& ops, Diagnostics& diagnostics);

}  // namespace wherry
