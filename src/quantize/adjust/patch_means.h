// The mean input window of a convolution: what its output's mean is linear in. mean(y) = W · mean(patch) + b, exactly, with
// padding and strides; so a layer's mean shift needs no second convolution.
#pragma once

#include "quantize/grid.h"
#include "quantize/rules.h"

namespace wherry {

// Where a convolution's windows lie.
struct Windows {
  std::int64_t height = 1, width = 1, channels = 1;  // of the input
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, pad_top = 0, pad_left = 0;
  std::int64_t out_h = 1, out_w = 1;
  std::int64_t patch() const { return kernel_h * kernel_w * channels; }
};
// CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED; nothing for others.
std::optional<Windows> windows_of(const TflGraph& graph, const TflNode& node);

// Mean over all windows (and batch entries) of the input at each kernel place and channel: [kernel_h, kernel_w, channels], in reals.
// Needs: float32, or integer codes of `grid`.
std::vector<double> patch_means(const Tensor& input, const Grid& grid, const Windows& windows);

// W · patch by output channel. `weight` in the kernel's layout, as reals. Needs: patch of the node's windows.
std::vector<double> respond(const TflNode& node, const Sizes& sizes, std::span<const float> weight, std::span<const double> patch,
                            const Windows& windows);

}  // namespace wherry
