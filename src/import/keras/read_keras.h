// A .keras archive (Keras 3: functional and sequential models, nested ones too) → Graph in PyTorch's meaning: images are channels
// first, and permutes remain only where Keras's own order is meant. An open batch is taken as 1.
#pragma once

#include "base/diagnostics.h"
#include "import/archive.h"
#include "ir/builder.h"

namespace wherry {

// By the input's or output's name in Keras: axis i of the source's value is axis order[i] of the file's.
using KerasPortOrders = std::map<std::string, std::vector<int>>;

// Layers that are not known, custom ones among them, are all listed (E201).
Graph read_keras(Archive& archive, const KerasPortOrders& orders, const OpTable& ops, Diagnostics& diagnostics);

}  // namespace wherry
