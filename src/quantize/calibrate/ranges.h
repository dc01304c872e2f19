// From what values a tensor took to the range that its integers shall cover.
#pragma once

#include "quantize/calibrate/histogram.h"

#include <string_view>

namespace wherry {

enum class RangeMethod {
  minmax,      // all of it
  percentile,  // but for the outermost 0.01 % of the values on each side
  mse,         // the least mean squared error after rounding and clipping (Choukroun et al. 2019, arXiv 1902.06822)
  kl,          // the least Kullback-Leibler divergence of the rounded distribution (Migacz, GTC 2017), on the signed histogram; never more
               // than one value of a thousand is clipped on a side
};
std::string_view name(RangeMethod method);

// Needs: not empty.
Range choose_range(const Histogram& histogram, RangeMethod method, DType dtype, double percentile = 99.99);

// Mean squared error of rounding to the grid of `range` and clipping to it.
double squared_error(const Histogram& histogram, Range range, DType dtype);

}  // namespace wherry
