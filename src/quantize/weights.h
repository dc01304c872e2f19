// Weights as integers: symmetric, a scale for each channel, without biases that an int32 cannot hold.
#pragma once

#include "quantize/plan.h"

namespace wherry {

// How a weight's elements belong to channels: element [outer, channel, inner].
struct Channels {
  std::int64_t outer = 1, count = 1, inner = 1;
  std::int64_t at(std::int64_t o, std::int64_t channel, std::int64_t i) const { return (o * count + channel) * inner + i; }
};
Channels channels_of(const Sizes& sizes, int axis);

// Fills plan.weights for every integer node whose weight is a constant: scale max|w|/127, nearest codes. A channel's scale is
// raised where its bias, or the accumulator, would leave int32 (TensorFlow's rule: |bias| below half of it).
void quantize_weights(const TflGraph& graph, Plan& plan);

// The scale that channel needs at least, so that bias and accumulator fit.
float least_weight_scale(double bias, float input_scale);

// Raises scales where a changed bias would leave int32, and rescales those channels' codes; false: nothing was to be done.
bool fit_bias(QuantizedWeight& weight, const Grid& input, int axis);

}  // namespace wherry
