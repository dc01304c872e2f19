// What values a tensor took: extremes, and a histogram whose bins widen with the range, so that one pass over the data suffices.
// Bin i of width 2^k holds [i 2^k, (i+1) 2^k): widening joins neighbours, so that the result depends on what was added and not
// on the order, and histograms of parts add up to that of the whole.
#pragma once

#include "quantize/grid.h"

#include <span>
#include <vector>

namespace wherry {

class Histogram {
 public:
  static constexpr int bins = 2048;  // at most; the range covers more than half of them

  // The extremes are exact; of more than 16,384 values at once an even sample of that many is counted.
  void add(std::span<const float> values);
  void add(const Histogram& other);

  bool empty() const { return count_ == 0; }
  bool finite() const { return finite_; }        // no NaN and no infinity was added
  std::int64_t total() const { return count_; }  // of the values in the bins
  Range range() const { return {low_, high_}; }  // exact; {0, 0} when empty
  double width() const;                          // of a bin
  std::int64_t first() const { return first_; }  // the place of the first bin: it begins at first() * width()
  std::span<const std::int64_t> counts() const { return counts_; }

  // All that it is, to be stored.
  struct Parts {
    int exponent = 0;
    std::int64_t first = 0;
    float low = 0, high = 0;
    bool finite = true;
    std::vector<std::int64_t> counts;
  };
  Parts parts() const { return {exponent_, first_, low_, high_, finite_, counts_}; }
  static Histogram of(Parts parts);

 private:
  void widen_to(float low, float high);
  void count(std::span<const float> values);
  int exponent_ = 0;
  std::int64_t first_ = 0;
  std::vector<std::int64_t> counts_;
  std::int64_t count_ = 0;
  float low_ = 0, high_ = 0;
  bool finite_ = true;
};

}  // namespace wherry
