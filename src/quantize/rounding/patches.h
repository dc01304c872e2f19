// The windows that a convolution sees, sampled: rows of a matrix whose products are what rounding minimises.
#pragma once

#include "quantize/adjust/patch_means.h"

namespace wherry {

// Which windows of one image to look at: `count` of them, evenly spread, beginning at another place in each image.
std::vector<std::int64_t> sampled_windows(const Windows& windows, std::int64_t count, std::size_t image);

// One row a window: [kernel_h, kernel_w, channels] in reals, zero where the window hangs over the border. Needs: one image.
void gather_windows(const Tensor& input, const Grid& grid, const Windows& windows, std::span<const std::int64_t> which, float* rows);

}  // namespace wherry
