// How channels of intermediate tensors are changed before a plan is made, so that integers serve them better. The model computes
// the same: what a channel loses comes back in the weights and biases of the layers beside it.
#pragma once

#include "quantize/adjust/centre.h"
#include "quantize/adjust/equalize.h"

namespace wherry {

// Channel c of a tensor holds (original - offsets[c]) / factors[c].
struct ChannelMaps {
  Offsets offsets;
  Factors factors;
};

TflGraph remapped(const TflGraph& graph, const ChannelMaps& maps);

// original = factors · value + offsets, by channel; empty: as it is.
struct ChannelMap {
  std::vector<float> factors, offsets;
};
ChannelMap map_of(const ChannelMaps& maps, int tensor);

}  // namespace wherry
