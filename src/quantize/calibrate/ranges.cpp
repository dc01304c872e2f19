#include "quantize/calibrate/ranges.h"

#include "quantize/grid.h"

#include <cmath>

namespace wherry {

namespace {

// What stands for a bin's values: its middle, but zero for the bin that begins there, where rectifiers leave their zeros.
double middle(const Histogram& h, std::size_t bin) {
  const auto place = static_cast<double>(h.first() + static_cast<std::int64_t>(bin));
  return place == 0 ? 0 : (place + 0.5) * h.width();
}

Range percentile_range(const Histogram& h, double percentile) {
  const auto outside = static_cast<std::int64_t>(std::floor(static_cast<double>(h.total()) * (100 - percentile) / 100));
  std::int64_t below = 0, above = 0;
  std::size_t low = 0, high = h.counts().size() - 1;
  while (low < high && below + h.counts()[low] <= outside) below += h.counts()[low++];
  while (high > low && above + h.counts()[high] <= outside) above += h.counts()[high--];
  const auto edge = [&](std::size_t bin) {
    return static_cast<float>(static_cast<double>(h.first() + static_cast<std::int64_t>(bin)) * h.width());
  };
  return {std::max(edge(low), h.range().low), std::min(edge(high + 1), h.range().high)};
}

// Shrinks one side at a time, in steps of one per cent.
Range least_error_range(const Histogram& h, DType dtype) {
  Range best = h.range();
  double least = squared_error(h, best, dtype);
  for (int round = 0; round < 2; ++round)
    for (const bool upper : {true, false}) {
      const Range from = best;
      for (int step = 1; step <= 80; ++step) {
        Range tried = from;
        (upper ? tried.high : tried.low) *= 1 - 0.01F * static_cast<float>(step);
        const double error = squared_error(h, tried, dtype);
        if (error < least) least = error, best = tried;
      }
    }
  return best;
}

// KL(P || Q): P the values clipped into the range, Q the same as 256 levels tell it, spread over the bins that hold any. Less what
// counting alone makes of it: n values in k bins differ from k / l bins of one level each by (k - l) / 2n on average, and a range
// whose bins are as fine as its levels would win by that, however much it clips.
double divergence(const Histogram& h, Range range) {
  constexpr int levels = 256;
  const Grid grid = activation_grid(range, DType::int8);
  std::vector<double> p(h.counts().size(), 0), level_sum(levels, 0), level_bins(levels, 0);
  std::vector<int> level(h.counts().size());
  std::size_t low = h.counts().size() - 1, high = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double code = std::nearbyint(middle(h, i) / static_cast<double>(grid.scale)) + grid.zero_point;
    level[i] = static_cast<int>(std::clamp(code, -128.0, 127.0)) + 128;
    if (code >= -128 && code <= 127) low = std::min(low, i), high = std::max(high, i);
  }
  if (low > high) return INFINITY;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto n = static_cast<double>(h.counts()[i]);
    p[std::clamp(i, low, high)] += n;
    if (i < low || i > high || n == 0) continue;
    level_sum[static_cast<std::size_t>(level[i])] += n;  // before the outliers are added: Q must not hide them
    level_bins[static_cast<std::size_t>(level[i])] += 1;
  }
  double total_q = 0, sum = 0;
  for (const double s : level_sum) total_q += s;
  for (std::size_t i = low; i <= high; ++i) {
    if (p[i] == 0) continue;
    const auto l = static_cast<std::size_t>(level[i]);
    const double probability = p[i] / static_cast<double>(h.total());
    const double q = level_bins[l] > 0 ? level_sum[l] / level_bins[l] / total_q : 1e-9;
    sum += probability * std::log(probability / std::max(q, 1e-9));
  }
  double bins = 0, used = 0;
  for (const double b : level_bins) bins += b, used += b > 0;
  return sum - (bins - used) / (2 * static_cast<double>(h.total()));
}

// Moves one side at a time between the extreme and the place beyond which one value of a thousand lies.
Range least_divergence_range(const Histogram& h) {
  constexpr int steps = 32;
  const Range all = h.range(), inner = percentile_range(h, 99.9);
  Range best = all;
  double least = divergence(h, best);
  for (int round = 0; round < 2; ++round)
    for (const bool upper : {true, false})
      for (int step = 0; step <= steps; ++step) {
        const float part = static_cast<float>(step) / steps;
        Range tried = best;
        (upper ? tried.high : tried.low) = upper ? all.high + part * (inner.high - all.high) : all.low + part * (inner.low - all.low);
        const double d = divergence(h, tried);
        if (d < least) least = d, best = tried;
      }
  return best;
}

}  // namespace

std::string_view name(RangeMethod method) {
  switch (method) {
    case RangeMethod::minmax: return "min-max";
    case RangeMethod::percentile: return "percentile";
    case RangeMethod::mse: return "mse";
    case RangeMethod::kl: return "kl";
  }
  return "";
}

double squared_error(const Histogram& h, Range range, DType dtype) {
  const Grid grid = activation_grid(range, dtype);
  const auto scale = static_cast<double>(grid.scale);
  const double low = lowest_code(dtype), high = highest_code(dtype);
  double sum = 0;
  for (std::size_t i = 0; i < h.counts().size(); ++i) {
    if (h.counts()[i] == 0) continue;
    const double x = middle(h, i);
    const double code = std::clamp(std::nearbyint(x / scale) + grid.zero_point, low, high);
    const double error = x - scale * (code - grid.zero_point);
    sum += static_cast<double>(h.counts()[i]) * error * error;
  }
  return sum / static_cast<double>(h.total());
}

Range choose_range(const Histogram& histogram, RangeMethod method, DType dtype, double percentile) {
  switch (method) {
    case RangeMethod::minmax: return histogram.range();
    case RangeMethod::percentile: return percentile_range(histogram, percentile);
    case RangeMethod::mse: return least_error_range(histogram, dtype);
    case RangeMethod::kl: return least_divergence_range(histogram);
  }
  return histogram.range();
}

}  // namespace wherry
