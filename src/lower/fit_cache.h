// Depthwise convolutions of many channels, made to fit a CPU's first cache.
//
// XNNPACK computes all channels of a place before it goes to the next place. What neighbouring places share, the window and the
// weights, is 8 bytes for each tap and channel; where that overflows the first data cache, it comes from the second one every
// time, and the convolution takes twice as long. So an inverted residual
//     expand (CONV_2D) → DEPTHWISE_CONV_2D → project (CONV_2D)
// becomes several narrow ones over ranges of the middle's channels, whose results are added up. Every number is the same but for
// the order of that sum. The arithmetic is the same too; each part adds three operators and an ADD, which two or more threads
// have to meet at.
#pragma once

#include "lower/lower_tfl.h"

namespace wherry {

// Parts are equal, in multiples of 16 channels (a row of XNNPACK's kernels). Only PAD and HARD_SWISH may stand between the three;
// tensors that another node takes, or the caller, stay whole, and so does their chain. Taps of split tensors go.
// Returns how many chains were split. Needs: a float32 graph.
int fit_cache(Lowered& lowered, int kilobytes);

}  // namespace wherry
