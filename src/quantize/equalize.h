// Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721, section 4.1), over all tensors whose channels can be scaled without
// changing the model: the factors go into the weights on both sides, so that every channel uses the whole range of its tensor.
#pragma once

#include "quantize/program.h"

#include <map>

namespace wherry {

// Channel c of the tensor holds the original's values divided by factors[c].
using Factors = std::map<int, std::vector<float>>;

// The tensors that can be scaled by channel, as sets that must share their factors: between convolutions, through ReLU, additions,
// pools and zero padding. Where an operator is not homogeneous (ReLU6, sigmoid, products), or the model ends, nothing is scaled.
std::vector<std::vector<int>> scalable_sets(const TflGraph& graph);

// Factors (r/R)^strength: r the channel's largest magnitude over the samples, R the tensor's. strength 1: all channels alike.
Factors equalizing_factors(const TflGraph& graph, const Samples& samples, const Loader& load, int threads, float strength);

// The same function with scaled intermediate tensors.
TflGraph equalized(const TflGraph& graph, const Factors& factors);

}  // namespace wherry
