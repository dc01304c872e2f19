// How much memory samples take that go through a graph side by side, node by node.
#pragma once

#include "ops/tfl.h"

namespace wherry {

// By node: the most bytes that one sample's live tensors take at it or at any later one, float32 on one side and int8 on the other.
std::vector<double> live_bytes(const TflGraph& graph);

// As many samples as take `bytes` at most, but eight at least.
std::size_t samples_within(const TflGraph& graph, double bytes);

}  // namespace wherry
