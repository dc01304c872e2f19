#include "data/score.h"

#include "base/check.h"

#include <limits>

namespace wherry {

Interval wilson(std::size_t hits, std::size_t count) {
  if (count == 0) return {0, 1};
  constexpr double z = 1.959963984540054;
  const double n = static_cast<double>(count), p = static_cast<double>(hits) / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {std::max(middle - half, 0.0), std::min(middle + half, 1.0)};
}

bool TopFive::holds(std::size_t index) const { return std::find(classes.begin(), classes.end(), index) != classes.end(); }

TopFive top_five(std::span<const float> scores) {
  TopFive top;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::size_t candidate = i;
    for (std::size_t& place : top.classes) {
      const bool before =
          place == TopFive::none || scores[candidate] > scores[place] || (scores[candidate] == scores[place] && candidate < place);
      if (before) std::swap(place, candidate);
      if (candidate == TopFive::none) break;
    }
  }
  return top;
}

Distance distance(std::span<const float> reference, std::span<const float> other) {
  WHERRY_CHECK(reference.size() == other.size(), "{} scores against {}", reference.size(), other.size());
  Distance d;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double a = reference[i], b = other[i];
    d.signal += a * a, d.noise += (a - b) * (a - b), d.dot += a * b, d.norm += b * b;
  }
  return d;
}

DistanceSummary summarise(std::span<const Distance> distances) {
  DistanceSummary summary;
  double signal = 0, noise = 0;
  for (const Distance& d : distances) {
    signal += d.signal, noise += d.noise;
    summary.l2 += std::sqrt(d.noise);
    summary.cosine += d.signal == 0 && d.norm == 0 ? 1 : d.signal == 0 || d.norm == 0 ? 0 : d.dot / std::sqrt(d.signal * d.norm);
  }
  const double count = std::max<double>(static_cast<double>(distances.size()), 1);
  summary.l2 /= count, summary.cosine /= count;
  summary.sqnr_db = noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);
  return summary;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (place - static_cast<double>(low));
}

}  // namespace wherry
