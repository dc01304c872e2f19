// Calibration as the command line gives it: data read by the text's preprocessing, graphs run in LiteRT.
#pragma once

#include "cli/convert.h"
#include "quantize/program.h"

namespace wherry {

Loader litert_loader();

// Inputs as the lowered float graph takes them. E80x where there are none, or where they are not what the text describes.
Samples calibration_samples(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Diagnostics& diagnostics);

}  // namespace wherry
