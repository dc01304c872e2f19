#include "ops/resize_axis.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wherry::ops::resize {

double linear_kernel(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

double cubic_kernel(double distance, double a) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

ValueId along(Builder& b, ValueId x, std::int64_t axis, const std::vector<Row>& rows) {
  const auto in = static_cast<std::int64_t>(rows.at(0).size()), out = static_cast<std::int64_t>(rows.size());
  std::vector<float> matrix;
  std::vector<std::int64_t> picks;
  for (const Row& row : rows) {
    const auto one = std::find(row.begin(), row.end(), 1.0);
    if (one != row.end() && std::count(row.begin(), row.end(), 0.0) + 1 == in) picks.push_back(one - row.begin());
    matrix.insert(matrix.end(), row.begin(), row.end());
  }
  if (static_cast<std::int64_t>(picks.size()) == out) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(in));
    std::iota(all.begin(), all.end(), 0);
    return picks == all ? x : b("index_select", {x, b.ints(picks)}, {{"dim", axis}});
  }
  const std::int64_t last = static_cast<std::int64_t>(b.type(x).shape.size()) - 1;
  const auto swap = [&](ValueId v) { return axis == last ? v : b("transpose", {v}, {{"dim0", axis}, {"dim1", last}}); };
  const Tensor weights = Tensor::from(matrix, {out, in}).permuted({1, 0}).contiguous();
  return swap(b("matmul", {swap(x), b.constant(weights.cast(b.type(x).dtype))}));
}

}  // namespace wherry::ops::resize
