// .onnx files: opsets 7 to 28, weights inside or in files beside (mapped, not copied), functions of the file, branches whose
// condition is known. Computations on shapes and other constants are folded on the way.
#pragma once

#include "base/diagnostics.h"
#include "ir/builder.h"

#include <filesystem>

namespace wherry {

// `dims`: sizes for open dimensions, by name; one without a name is called after its input and axis ("image_0").
// Faults are collected; the graph is whole only without errors.
Graph read_onnx(const std::filesystem::path& file, const OpTable& ops, const std::map<std::string, std::int64_t>& dims,
                Diagnostics& diagnostics);

}  // namespace wherry
