#include "ops/resize_axis.h"

#include "ops/infer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace wherry::ops::resize {

double linear_kernel(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

double cubic_kernel(double distance, double a) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

void normalise(Row& row) {
  double sum = 0;
  for (const auto& [at, weight] : row) sum += weight;
  if (sum == 0) return;
  for (auto& [at, weight] : row) weight /= sum;
}

namespace {

constexpr std::int64_t largest_matrix = std::int64_t{1} << 28;  // elements

// The one element that counts, if it counts 1.
std::optional<std::int64_t> only(const Row& row) {
  std::optional<std::int64_t> one;
  for (const auto& [at, weight] : row) {
    if (weight == 0) continue;
    if (one || weight != 1) return std::nullopt;
    one = at;
  }
  return one;
}

Tensor matrix_of(const std::vector<Row>& rows, std::int64_t in) {  // turned: [in, out]
  const auto out = static_cast<std::int64_t>(rows.size());
  if (in * out > largest_matrix)
    infer::fault(fmt::format("an axis of {} resized to {} takes a matrix of more than {} elements", in, out, largest_matrix), "E503");
  Tensor matrix = Tensor::allocate(DType::float32, {in, out});
  const auto elements = matrix.mutable_as<float>();
  for (std::int64_t o = 0; o < out; ++o)
    for (const auto& [at, weight] : rows[static_cast<std::size_t>(o)])
      elements[static_cast<std::size_t>(at * out + o)] = static_cast<float>(weight);
  return matrix;
}

}  // namespace

ValueId along(Builder& b, ValueId x, std::int64_t axis, const std::vector<Row>& rows) {
  const Shape shape = b.type(x).shape;
  const std::int64_t in = shape[static_cast<std::size_t>(axis)].size(), last = static_cast<std::int64_t>(shape.size()) - 1;
  std::vector<std::int64_t> picks;
  for (const Row& row : rows)
    if (const std::optional<std::int64_t> one = only(row)) picks.push_back(*one);
  if (picks.size() == rows.size()) {
    bool same = static_cast<std::int64_t>(picks.size()) == in;
    for (std::int64_t i = 0; same && i < in; ++i) same = picks[static_cast<std::size_t>(i)] == i;
    return same ? x : b("index_select", {x, b.ints(picks)}, {{"dim", axis}});
  }
  const Tensor matrix = matrix_of(rows, in);
  const auto swap = [&](ValueId v) { return axis == last ? v : b("transpose", {v}, {{"dim0", axis}, {"dim1", last}}); };
  return swap(b("matmul", {swap(x), b.constant(matrix.cast(b.type(x).dtype))}));
}

}  // namespace wherry::ops::resize
