// Integers and the reals that they stand for.
#pragma once

#include "ops/tfl.h"

namespace wherry {

// Whether a tensor of this type and these parameters holds integers that stand for reals.
bool stands_for_reals(DType dtype, const std::optional<TflQuantization>& quantization);

// float32 of the same shape: scale * (q - zero_point), each slice of the axis by its own. Needs: stands_for_reals, not in blocks.
Tensor dequantize(const Tensor& integers, const TflQuantization& quantization);
// The nearest integers (halves away from zero), clamped to what `dtype` holds. Needs: one scale for all.
Tensor quantize(const Tensor& reals, DType dtype, const TflQuantization& quantization);

// What a file's operators compute in, by the name that `convert --precision` gives it: float32, float16, dynamic, int8-weights,
// int4, int8, int16x8.
std::string precision_of(const TflGraph& graph);

}  // namespace wherry
