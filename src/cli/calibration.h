// Calibration as the command line gives it: data read by the text's preprocessing, graphs run in LiteRT.
#pragma once

#include "cli/convert.h"
#include "quantize/program.h"

namespace wherry {

Loader litert_loader();

// The text that says how images become inputs, and what the classes are called: --preprocess, else the source itself.
std::optional<Model> describing_text(const LoadedSource& source, const ConvertOptions& options);

// Inputs as the lowered float graph takes them. E80x where there are none, or where they are not what the text describes.
Samples calibration_samples(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Diagnostics& diagnostics);

// Where what calibration measured is kept: $XDG_CACHE_HOME/wherry, else ~/.cache/wherry. Images are known by their files' names,
// sizes and times, arrays by their bytes. nullptr: nowhere.
std::shared_ptr<const StatisticsCache> statistics_cache(const LoadedSource& source, const ConvertOptions& options);

// The class of every calibration sample, as `evaluate` finds it. E808 where there are none.
std::vector<int> calibration_labels(const TflGraph& graph, const ConvertOptions& options, Diagnostics& diagnostics);

// Some of the same data as the source takes it.
Samples source_samples(const LoadedSource& source, const ConvertOptions& options, std::size_t count, Diagnostics& diagnostics);

}  // namespace wherry
