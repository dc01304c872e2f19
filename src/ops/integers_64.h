// Integers of 64 bits by what TFLite's kernels know of them: sums, products, comparisons, FLOOR_MOD and casts.
#pragma once

#include "ops/tfl.h"

namespace wherry::tfl {

// Tensors of int64 (uint64: the same bits in int64) that broadcast. All is exact modulo 2^64; division by zero ends
// the run, as the kernels' own does.
int divide_64(TflLowering& t, int x, int y, bool floor);  // else towards zero
int divide_unsigned_64(TflLowering& t, int x, int y);
int power_64(TflLowering& t, int x, int y);
int shift_right_64(TflLowering& t, int x, int by, bool with_sign);

int as_signed(TflLowering& t, int x);    // uint64 → int64 of the same bits
int as_unsigned(TflLowering& t, int x);  // and back
int halves(TflLowering& t, int x);       // int64 [...] → int32 [..., 2]: the lower bits and the upper ones
int from_halves(TflLowering& t, int x);  // and back

}  // namespace wherry::tfl
