// Model → Graph: blocks expanded, expressions evaluated, weights attached, every node typed.
#pragma once

#include "ir/builder.h"
#include "ir/model.h"
#include "ir/weights.h"

namespace wherry {

struct FlattenOptions {
  // Where weights come from. Without a map every parameter is made by a seeded initialisation (PyTorch's bounds, own generator).
  const Weights* weights = nullptr;
  std::uint64_t seed = 0;
  bool allow_leftover = false;  // weights that no layer uses are E402 unless this is set
};

// Every fault goes to `diagnostics` with its place in the text (E302…E308, E401…E403, E5xx); the graph is whole only without errors.
Graph flatten(const Model& model, const OpTable& ops, const FlattenOptions& options, Diagnostics& diagnostics);

}  // namespace wherry
