// Runs an integer .tflite over data and counts where its activations stand at the ends of their type.
#pragma once

#include "data/preprocess.h"
#include "quantize/audit/audit.h"
#include "tflite_schema/read_tfl_graph.h"

namespace wherry {

// `data` as `convert --calibrate` takes it; images need `preprocess`. At most `count` samples, at even distances.
std::map<int, AuditObserved> observe_integers(const std::filesystem::path& path, const TflFile& file, const std::filesystem::path& data,
                                              const std::optional<Preprocess>& preprocess, std::size_t count, int threads,
                                              const std::function<void(std::size_t done, std::size_t total)>& progress);

}  // namespace wherry
