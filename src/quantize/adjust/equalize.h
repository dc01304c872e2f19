// Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721, section 4.1), over all tensors whose channels can be scaled without
// changing the model: the factors go into the weights on both sides, so that every channel uses the whole range of its tensor.
#pragma once

#include "quantize/adjust/centre.h"

namespace wherry {

// Channel c of the tensor holds the original's values divided by factors[c].
using Factors = std::map<int, std::vector<float>>;

// The tensors that can be scaled by channel, as sets that must share their factors: between convolutions, through ReLU, additions,
// pools and zero padding. Where an operator is not homogeneous (ReLU6, sigmoid, products), or the model ends, nothing is scaled.
std::vector<std::vector<int>> scalable_sets(const TflGraph& graph);

// Factors (r/R)^s: r the channel's largest magnitude once moved by its offset, R the tensor's. s is 0 to 0.7, by the set: what gives the
// layers that read it the least noise, of rounded activations (which every s above 0 lowers) and of rounded weights (which it raises,
// as weak channels meet larger weights). With s of 1 (as in the paper) every channel that goes beyond what few samples show would widen
// its tensor's range. Needs: the ranges of the sets' tensors, 8 bits for both.
Factors equalizing_factors(const TflGraph& graph, const std::map<int, ChannelRanges>& ranges, const Offsets& offsets, int threads);

// The same function with scaled intermediate tensors.
TflGraph equalized(const TflGraph& graph, const Factors& factors);

}  // namespace wherry
