// Multiplies what scales and shifts whole channels into the convolution before it.
#pragma once

#include "ir/builder.h"

namespace wherry {

// A chain of batch_norm, and of mul, add, sub, div by a constant per channel, on a convolution that nothing else takes
// becomes part of its weight and bias (computed in double, stored as float32).
// Needs: statistics and weights constant. Keeps: names; the convolution's output takes the name of the last one folded.
// After fold_channel_shuffle, which may stand between the two; before simplify, which then sees the convolutions' neighbours.
Graph fold_batchnorm(const Graph& graph, const OpTable& ops);

}  // namespace wherry
