// The channels that were changed before a plan was made, out of the file of codes (docs/format.md).
#pragma once

#include "ir/weights.h"
#include "quantize/adjust/channel_maps.h"

namespace wherry {

// What the file holds beside codes and scales. Offsets are kept of layers' outputs alone: the others follow.
void add_channel_maps(const ChannelMaps& maps, const TflGraph& graph, const std::vector<std::string>& names, Weights& codes);

// `names` by tensor; each fault is told to `report`.
ChannelMaps channel_maps_of(const TflGraph& graph, const std::vector<std::string>& names, const Weights& codes,
                            const std::function<void(std::string fault)>& report);

}  // namespace wherry
