// Passes and lowering in one step, for whoever wants the TFLite form of a source without its file.
#pragma once

#include "lower/lower_tfl.h"
#include "passes/pipeline.h"

namespace wherry {

// What convert() writes from this graph in float32. Faults go to `diagnostics`.
Lowered lower_source(const Graph& graph, const PassOptions& passes, const TflLowerOptions& options, Diagnostics& diagnostics);

}  // namespace wherry
