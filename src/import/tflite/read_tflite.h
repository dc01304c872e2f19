// A float .tflite file → Graph in PyTorch's meaning: images are channels first, and permutes remain only where the file's own order
// is meant. Files whose operators compute in integers are no source of a model: they are refused.
#pragma once

#include "base/diagnostics.h"
#include "ir/builder.h"
#include "tflite_schema/read_tfl_graph.h"

namespace wherry {

// What the file's maker recorded, where it is known.
struct TfliteOrigin {
  std::map<std::string, std::vector<int>> ports;  // axis i of the source's input or output is axis order[i] of the file's
  std::map<int, std::string> names;               // tensors: the source's values
};

// Operators that are not known are all listed (E201). Sizes that the file leaves open are taken as those that stand in for them,
// with a warning (E504).
Graph read_tflite(const TflFile& file, const TfliteOrigin& origin, const OpTable& ops, Diagnostics& diagnostics);

}  // namespace wherry
