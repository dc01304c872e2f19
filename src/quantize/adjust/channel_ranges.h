// What few samples tell of each channel of intermediate tensors: enough to move and scale channels before all samples are measured.
#pragma once

#include "quantize/program.h"

#include <map>
#include <set>

namespace wherry {

// By channel, over all samples and places.
struct ChannelRanges {
  std::vector<float> low, high;
  std::vector<float> middle;  // of each sample's range, on average: one sample's outlier moves it little
  std::vector<float> variance;
};

// Of tensors whose last axis is the channels. The same whatever the number of threads.
std::map<int, ChannelRanges> channel_ranges(const TflGraph& graph, const std::set<int>& tensors, const Samples& samples, const Loader& load,
                                            int threads);

std::size_t channels_of(const TflGraph& graph, int tensor);

}  // namespace wherry
