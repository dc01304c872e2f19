// YAML or JSON text → Model. YAML 1.2 contains JSON, so one reader serves both; every value keeps its line and column.
#pragma once

#include "base/diagnostics.h"
#include "ir/model.h"

namespace wherry {

// Structure only (keys, kinds, names): what operators and blocks mean is flatten's business. Libraries named by `use:` are
// read from `library_folders` and their blocks appended. Faults: E101, E301…E304, E308, E309.
Model read_model(const std::filesystem::path& file, const std::vector<std::filesystem::path>& library_folders, Diagnostics& diagnostics);
Model parse_model(std::string_view text, const std::filesystem::path& name, const std::vector<std::filesystem::path>& library_folders,
                  Diagnostics& diagnostics);

}  // namespace wherry
