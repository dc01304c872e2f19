// How far two tensors are apart.
#pragma once

#include "ir/tensor.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

struct Metrics {
  double max_abs_error = 0;  // infinite when one side alone has a NaN or infinity somewhere
  double scale = 0;          // the largest magnitude on the reference side
  double sqnr_db = 0;        // 10 log10(sum ref² / sum (ref - other)²); infinite when equal
  double cosine = 1;
  double relative() const { return max_abs_error == 0 ? 0 : max_abs_error / (scale > 0 ? scale : 1); }
};

// Needs: equal sizes. Any number types; NaN beside NaN counts as equal.
Metrics compare(const Tensor& reference, const Tensor& other);
// The worst of both: the largest error and scale, the least SQNR and cosine.
Metrics worst(const Metrics& a, const Metrics& b);

nlohmann::ordered_json to_json(const Metrics& metrics);  // max_abs_error, relative_error, sqnr_db (infinite: null), cosine

}  // namespace wherry
