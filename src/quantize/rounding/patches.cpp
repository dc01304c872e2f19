#include "quantize/rounding/patches.h"

namespace wherry {

namespace {

template <typename Element>
void gather(std::span<const Element> x, float scale, float zero, const Windows& w, std::span<const std::int64_t> which, float* rows) {
  for (const std::int64_t window : which) {
    const std::int64_t oy = window / w.out_w, ox = window % w.out_w;
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx, rows += w.channels) {
        const std::int64_t iy = oy * w.stride_h + ky * w.dilation_h - w.pad_top, ix = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
        if (iy < 0 || iy >= w.height || ix < 0 || ix >= w.width) {
          std::fill_n(rows, w.channels, 0.0F);
          continue;
        }
        const Element* from = x.data() + (iy * w.width + ix) * w.channels;
        for (std::int64_t c = 0; c < w.channels; ++c) rows[c] = scale * (static_cast<float>(from[c]) - zero);
      }
  }
}

}  // namespace

std::vector<std::int64_t> sampled_windows(const Windows& windows, std::int64_t count, std::size_t image) {
  const std::int64_t all = windows.out_h * windows.out_w;
  count = std::min(count, all);
  // Steps of the golden ratio start each image elsewhere.
  const auto start =
      static_cast<std::int64_t>(static_cast<double>(all) * std::fmod(0.6180339887498949 * static_cast<double>(image + 1), 1.0));
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back((start + i * all / count) % all);
  return out;
}

void gather_windows(const Tensor& input, const Grid& grid, const Windows& windows, std::span<const std::int64_t> which, float* rows) {
  const Tensor dense = input.contiguous();
  const auto zero = static_cast<float>(grid.zero_point);
  switch (dense.dtype()) {
    case DType::int8: return gather(dense.as<std::int8_t>(), grid.scale, zero, windows, which, rows);
    case DType::int16: return gather(dense.as<std::int16_t>(), grid.scale, zero, windows, which, rows);
    default: return gather(dense.as<float>(), 1.0F, 0.0F, windows, which, rows);
  }
}

}  // namespace wherry
