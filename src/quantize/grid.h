// Grids: how integers stand for reals, real = scale * (q - zero_point). Scheme: Jacob et al. 2018 (arXiv 1712.05877) in the form
// of the TensorFlow Lite quantization specification.
#pragma once

#include "ir/tensor.h"

#include <cstdint>

namespace wherry {

struct Range {
  float low = 0, high = 0;
  bool operator==(const Range&) const = default;
};
Range joined(Range a, Range b);

struct Grid {
  DType dtype = DType::int8;
  float scale = 1;
  int zero_point = 0;
  bool operator==(const Grid&) const = default;
};

inline constexpr int lowest_code(DType dtype) { return dtype == DType::int16 ? -32768 : dtype == DType::int4 ? -8 : -128; }
inline constexpr int highest_code(DType dtype) { return dtype == DType::int16 ? 32767 : dtype == DType::int4 ? 7 : 127; }

inline constexpr float least_scale = 1e-9F;  // far above the subnormal floats that XNNPACK refuses, far below any activation's step

// The grid of an activation: int8 with a zero point, so that zero is one of its reals; int16 symmetric. The scale is never so
// small that a runtime would take it for zero.
Grid activation_grid(Range range, DType dtype);
Range range_of(const Grid& grid);  // the reals that it reaches

// Nearest codes, ties to even, saturating. Needs: float32.
Tensor quantized(const Tensor& reals, const Grid& grid);
Tensor dequantized(const Tensor& codes, const Grid& grid);

}  // namespace wherry
