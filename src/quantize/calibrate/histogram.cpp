#include "quantize/calibrate/histogram.h"

#include "base/simd.h"

#include <cmath>
#include <numeric>

namespace wherry {

namespace {

constexpr std::size_t run = 2048, all_counted = 8 * run;

// The least k for which bins of width 2^k cover [low, high].
int exponent_for(float low, float high) {
  const double span = std::max(static_cast<double>(high) - static_cast<double>(low), 1e-30);
  int k = static_cast<int>(std::floor(std::log2(span / Histogram::bins)));
  while (std::floor(std::ldexp(static_cast<double>(high), -k)) - std::floor(std::ldexp(static_cast<double>(low), -k)) >= Histogram::bins)
    ++k;
  // Places stay below 2^23, so that float arithmetic finds them exactly.
  const float magnitude = std::max(std::abs(low), std::abs(high));
  return magnitude > 0 ? std::max(k, std::ilogb(magnitude) - 22) : k;
}

struct Extremes {
  float low, high;
  bool finite;
};

Extremes extremes_of(std::span<const float> values) {
  constexpr std::size_t lanes = 32;
  float low[lanes], high[lanes], poison[lanes] = {};  // x * 0 is 0 but for NaN and infinities
  std::fill(low, low + lanes, values[0]);
  std::fill(high, high + lanes, values[0]);
  std::size_t i = 0;
  vectorised([&] {
    for (; i + lanes <= values.size(); i += lanes)
      for (std::size_t l = 0; l < lanes; ++l) {
        const float x = values[i + l];
        low[l] = x < low[l] ? x : low[l];
        high[l] = x > high[l] ? x : high[l];
        poison[l] += x * 0.0F;
      }
  });
  for (; i < values.size(); ++i) {
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
    poison[0] += values[i] * 0.0F;
  }
  const bool finite = std::ranges::all_of(poison, [](float p) { return p == 0; });
  return {*std::ranges::min_element(low), *std::ranges::max_element(high), finite};
}

}  // namespace

double Histogram::width() const { return std::ldexp(1.0, exponent_); }

void Histogram::widen_to(float low, float high) {
  if (count_ == 0) {
    low_ = low;
    high_ = high;
  } else {
    low_ = std::min(low_, low);
    high_ = std::max(high_, high);
  }
  const int wanted = std::max(exponent_for(low_, high_), counts_.empty() ? -1000 : exponent_);
  const auto place = [&](float x) { return static_cast<std::int64_t>(std::floor(std::ldexp(static_cast<double>(x), -wanted))); };
  const std::int64_t first = place(low_), last = place(high_);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(last - first + 1), 0);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::int64_t old = first_ + static_cast<std::int64_t>(i);
    counts[static_cast<std::size_t>((old >> std::min(wanted - exponent_, 62)) - first)] += counts_[i];
  }
  counts_ = std::move(counts);
  first_ = first;
  exponent_ = wanted;
}

Histogram Histogram::of(Parts parts) {
  Histogram out;
  out.exponent_ = parts.exponent;
  out.first_ = parts.first;
  out.low_ = parts.low;
  out.high_ = parts.high;
  out.finite_ = parts.finite;
  out.counts_ = std::move(parts.counts);
  out.count_ = std::accumulate(out.counts_.begin(), out.counts_.end(), std::int64_t{0});
  return out;
}

void Histogram::add(std::span<const float> values) {
  if (values.empty()) return;
  const Extremes extremes = extremes_of(values);
  if (!extremes.finite) {
    finite_ = false;
    return;
  }
  if (count_ == 0 || extremes.low < low_ || extremes.high > high_) widen_to(extremes.low, extremes.high);
  if (values.size() <= all_counted) {
    count(values);
  } else {
    // A run of each stretch, at a place that changes from stretch to stretch, so that no channel is left out.
    const std::size_t stretch = values.size() / (all_counted / run);
    std::uint64_t random = values.size();
    for (std::size_t at = 0; at + stretch <= values.size(); at += stretch) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      count(values.subspan(at + (random >> 33) % (stretch - run + 1), run));
    }
  }
}

void Histogram::count(std::span<const float> values) {
  count_ += static_cast<std::int64_t>(values.size());
  // A power of two divides without error, so that all threads and orders place a value alike.
  const auto inverse = static_cast<float>(std::ldexp(1.0, -exponent_)), first = static_cast<float>(first_);
  std::int32_t places[run];
  for (std::size_t at = 0; at < values.size(); at += run) {
    const std::size_t n = std::min(run, values.size() - at);
    const float* from = values.data() + at;
    vectorised([&] {
      for (std::size_t i = 0; i < n; ++i) places[i] = static_cast<std::int32_t>(__builtin_floorf(from[i] * inverse) - first);
    });
    for (std::size_t i = 0; i < n; ++i) ++counts_[static_cast<std::size_t>(places[i])];
  }
}

void Histogram::add(const Histogram& other) {
  finite_ = finite_ && other.finite_;
  if (other.empty()) return;
  widen_to(other.low_, other.high_);
  // The other may be the wider one in its bins only if its range is the wider one: then ours now is as wide.
  for (std::size_t i = 0; i < other.counts_.size(); ++i) {
    const std::int64_t place = (other.first_ + static_cast<std::int64_t>(i)) >> std::min(exponent_ - other.exponent_, 62);
    counts_[static_cast<std::size_t>(place - first_)] += other.counts_[i];
  }
  count_ += other.count_;
}

}  // namespace wherry
