// OnnxGraph → .onnx: the small messages first in memory, then the weights one by one out of the mapped source. The same graph gives
// the same bytes.
#pragma once

#include "base/files.h"
#include "ops/onnx.h"

namespace wherry {

struct OnnxMetadata {
  std::string producer_version;
  std::vector<std::pair<std::string, std::string>> properties;  // metadata_props: provenance, preprocessing
};

// A message has at most 2 GB: a model with more than that in weights keeps them in a file beside it.
inline constexpr std::uint64_t most_onnx_bytes = (std::uint64_t{1} << 31) - (std::uint64_t{1} << 20);
bool needs_external_data(const OnnxGraph& graph, std::uint64_t limit = most_onnx_bytes);

// `weights`: where the large ones go, under the name `weights_name`; nullptr: into the file itself. Fails with E601, and with E603
// where the model cannot be written at all.
void write_onnx(const OnnxGraph& graph, const OnnxMetadata& metadata, AtomicFile& file, AtomicFile* weights = nullptr,
                const std::string& weights_name = {});

}  // namespace wherry
