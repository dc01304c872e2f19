// What is counted while models are evaluated.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace wherry {

struct Interval {
  double low = 0, high = 0;
};
// Wilson's 95 % interval of a share.
Interval wilson(std::size_t hits, std::size_t count);

// The classes with the five greatest scores, greatest first; equal scores in the order of the classes (a quantized model has many).
// Fewer classes than five leave the rest at `none`.
struct TopFive {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::array<std::size_t, 5> classes{none, none, none, none, none};
  std::size_t first() const { return classes[0]; }
  bool holds(std::size_t index) const;
};
TopFive top_five(std::span<const float> scores);

// How one sample's scores differ from the reference's, as sums, so that samples add up in any order to the same.
struct Distance {
  double signal = 0, noise = 0, dot = 0, norm = 0;
};
Distance distance(std::span<const float> reference, std::span<const float> other);  // Needs: equal lengths

struct DistanceSummary {
  double sqnr_db = 0;  // of all samples' scores together; infinite when equal
  double cosine = 0;   // mean over samples
  double l2 = 0;       // mean over samples of |reference - other|₂
};
DistanceSummary summarise(std::span<const Distance> distances);

// The value below which a share of the sorted values lies, interpolated.
double percentile(std::vector<double> values, double share);

}  // namespace wherry
