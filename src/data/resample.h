// Rows of an image brought to another width: the inner loop of resize().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace wherry {

// For each output coordinate: which inputs it takes, and their weights, whole numbers with `precision` bits behind the point.
struct Taps {
  static constexpr int precision = 32 - 8 - 2;  // Pillow's
  static constexpr std::int32_t half = 1 << (precision - 1);
  // What a sum that began with `half` stands for.
  static std::uint8_t colour(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> precision, 0, 255)); }

  struct Range {
    int first, count;
  };
  std::vector<Range> ranges;
  std::vector<std::int32_t> weights;  // `width` for each output
  std::size_t width;
};

// `rows` rows of red, green, blue, `from_width` pixels each, become rows of one pixel for each range. `left`: which input coordinate a row
// begins with. The sums are those of 32-bit integers, on every processor.
void resample_rows(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t from_width, const Taps& taps, int left);

}  // namespace wherry
