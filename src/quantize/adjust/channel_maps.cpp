#include "quantize/adjust/channel_maps.h"

namespace wherry {

TflGraph remapped(const TflGraph& graph, const ChannelMaps& maps) { return equalized(centred(graph, maps.offsets), maps.factors); }

ChannelMap map_of(const ChannelMaps& maps, int tensor) {
  ChannelMap out;
  if (const auto found = maps.factors.find(tensor); found != maps.factors.end()) out.factors = found->second;
  if (const auto found = maps.offsets.find(tensor); found != maps.offsets.end()) out.offsets = found->second;
  return out;
}

}  // namespace wherry
