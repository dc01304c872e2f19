// Channels moved to the middle of their tensor's range, so that one scale serves all of them better. What is taken from a channel
// comes back in the biases of the layers that read it: high-bias absorption (Nagel et al. 2019, arXiv 1906.04721, section 4.1.3)
// for tensors that no activation cuts, where it is exact.
#pragma once

#include "quantize/adjust/channel_ranges.h"

namespace wherry {

// Channel c of the tensor holds the original's values minus offsets[c].
using Offsets = std::map<int, std::vector<float>>;

// Layers' outputs that can be moved: without an activation, and read by layers without padding, through additions and means.
std::vector<int> movable_tensors(const TflGraph& graph);

// All offsets that follow from those of layers' outputs.
Offsets all_offsets(const TflGraph& graph, const Offsets& of_layers);

// The middle of each channel's range. Needs: the ranges of movable_tensors().
Offsets centring_offsets(const TflGraph& graph, const std::map<int, ChannelRanges>& ranges);

// The same function with moved intermediate tensors. Needs: all_offsets().
TflGraph centred(const TflGraph& graph, const Offsets& offsets);

}  // namespace wherry
