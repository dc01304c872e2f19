#include "quantize/grid.h"

#include "base/check.h"

#include <cmath>
#include <limits>

namespace wherry {

namespace {

template <typename Code>
void quantize_into(std::span<const float> reals, std::span<Code> codes, const Grid& grid) {
  const float inverse = 1.0F / grid.scale;
  const auto low = static_cast<float>(lowest_code(grid.dtype)), high = static_cast<float>(highest_code(grid.dtype));
  const auto zero = static_cast<float>(grid.zero_point);
  for (std::size_t i = 0; i < reals.size(); ++i)
    codes[i] = static_cast<Code>(std::clamp(std::nearbyint(reals[i] * inverse) + zero, low, high));
}

template <typename Code>
void dequantize_into(std::span<const Code> codes, std::span<float> reals, const Grid& grid) {
  for (std::size_t i = 0; i < codes.size(); ++i) reals[i] = grid.scale * static_cast<float>(codes[i] - grid.zero_point);
}

}  // namespace

Range joined(Range a, Range b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

Grid activation_grid(Range range, DType dtype) {
  const float low = std::min(range.low, 0.0F), high = std::max(range.high, 0.0F);
  if (dtype == DType::int16) return {dtype, std::max(std::max(-low, high) / 32767, least_scale), 0};
  const float scale = std::max((high - low) / 255, least_scale);
  const auto zero = static_cast<int>(std::lround(-128 - low / scale));
  return {dtype, scale, std::clamp(zero, -128, 127)};
}

Range range_of(const Grid& grid) {
  return {grid.scale * static_cast<float>(lowest_code(grid.dtype) - grid.zero_point),
          grid.scale * static_cast<float>(highest_code(grid.dtype) - grid.zero_point)};
}

Tensor quantized(const Tensor& reals, const Grid& grid) {
  const Tensor dense = reals.contiguous();
  Tensor codes = Tensor::allocate(grid.dtype, reals.sizes());
  if (grid.dtype == DType::int16)
    quantize_into(dense.as<float>(), codes.mutable_as<std::int16_t>(), grid);
  else
    quantize_into(dense.as<float>(), codes.mutable_as<std::int8_t>(), grid);
  return codes;
}

Tensor dequantized(const Tensor& codes, const Grid& grid) {
  const Tensor dense = codes.contiguous();
  Tensor reals = Tensor::allocate(DType::float32, codes.sizes());
  if (codes.dtype() == DType::int16)
    dequantize_into(dense.as<std::int16_t>(), reals.mutable_as<float>(), grid);
  else
    dequantize_into(dense.as<std::int8_t>(), reals.mutable_as<float>(), grid);
  return reals;
}

}  // namespace wherry
