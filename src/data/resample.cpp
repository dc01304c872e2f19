#include "data/resample.h"

#include "base/simd.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wherry {

namespace {

// A pixel's three colours and what follows them, in four lanes. Reads a byte beyond the pixel.
using Lanes = std::int32_t __attribute__((vector_size(16)));
using Bytes = std::uint8_t __attribute__((vector_size(4)));

Lanes lanes(const std::uint8_t* pixel) {
  Bytes bytes;
  std::memcpy(&bytes, pixel, sizeof bytes);
  return __builtin_convertvector(bytes, Lanes);
}

class Plain {
 public:
  Plain(const Taps& taps, int left) : taps_(taps), left_(left) {}

  std::size_t beyond() const { return 1; }  // bytes that are read behind a row

  void row(const std::uint8_t* from, std::uint8_t* to) const {
    for (std::size_t x = 0; x < taps_.ranges.size(); ++x, to += 3) {
      const Taps::Range range = taps_.ranges[x];
      const std::int32_t* weight = taps_.weights.data() + x * taps_.width;
      const std::uint8_t* pixel = from + static_cast<std::size_t>(range.first - left_) * 3;
      Lanes even = {Taps::half, Taps::half, Taps::half, Taps::half}, odd = {};
      int k = 0;
      for (; k + 1 < range.count; k += 2, pixel += 6) even += lanes(pixel) * weight[k], odd += lanes(pixel + 3) * weight[k + 1];
      if (k < range.count) even += lanes(pixel) * weight[k];
      even += odd;
      to[0] = Taps::colour(even[0]), to[1] = Taps::colour(even[1]), to[2] = Taps::colour(even[2]);
    }
  }

 private:
  const Taps& taps_;
  int left_;
};

#if defined(__x86_64__)
// Four pixels at a time. The processor multiplies 16-bit numbers and adds neighbours in one step, so a weight is taken apart:
// w = upper * 2^13 + lower, lower from 0 to 2^13 - 1.
class Avx2 {
 public:
  Avx2(const Taps& taps, int left) {
    int longest = 0;
    for (const Taps::Range& range : taps.ranges) longest = std::max(longest, range.count);
    groups_ = (static_cast<std::size_t>(longest) + 3) / 4;
    weights_.resize(taps.ranges.size() * groups_ * 32);
    for (std::size_t x = 0; x < taps.ranges.size(); ++x) {
      const Taps::Range range = taps.ranges[x];
      first_.push_back(static_cast<std::size_t>(range.first - left) * 3);
      for (std::size_t k = 0; k < static_cast<std::size_t>(range.count); ++k) {
        const std::int32_t weight = taps.weights[x * taps.width + k], lower = weight & ((1 << split) - 1);
        std::int16_t* group = weights_.data() + (x * groups_ + k / 4) * 32 + k % 4 / 2 * 8 + k % 2;
        for (std::size_t colour = 0; colour < 3; ++colour) {
          group[2 * colour] = static_cast<std::int16_t>((weight - lower) >> split);
          group[16 + 2 * colour] = static_cast<std::int16_t>(lower);
        }
      }
    }
  }

  std::size_t beyond() const { return groups_ * 12 + 4; }

  __attribute__((target("avx2"))) void row(const std::uint8_t* from, std::uint8_t* to) const {
    const __m128i order = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 6, 9, 7, 10, 8, 11, -1, -1);  // pairs of neighbours by colour
    const std::int16_t* weights = weights_.data();
    for (std::size_t x = 0; x < first_.size(); ++x, to += 3) {
      const std::uint8_t* pixels = from + first_[x];
      __m256i upper = _mm256_setzero_si256(), lower = upper;
      for (std::size_t g = 0; g < groups_; ++g, pixels += 12, weights += 32) {
        const __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels)), order);
        const __m256i values = _mm256_cvtepu8_epi16(bytes);
        const auto* weight = reinterpret_cast<const __m256i*>(weights);
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(values, _mm256_loadu_si256(weight)));
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(values, _mm256_loadu_si256(weight + 1)));
      }
      const __m256i parts = _mm256_add_epi32(_mm256_slli_epi32(upper, split), lower);
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(parts), _mm256_extracti128_si256(parts, 1));
      sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(Taps::half)), Taps::precision);
      sum = _mm_packs_epi32(sum, sum);
      const int colours = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));  // limits them to a byte
      std::memcpy(to, &colours, 3);
    }
  }

 private:
  static constexpr int split = 13;
  std::size_t groups_;
  std::vector<std::size_t> first_;     // byte of a row, by output
  std::vector<std::int16_t> weights_;  // by output and group: sixteen upper parts, sixteen lower ones
};
#endif

// The last rows from a copy, behind which more may be read.
template <class Way>
void all_rows(const Way& way, const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t from_stride,
              std::size_t to_stride) {
  const std::size_t bytes = rows * from_stride;
  std::vector<std::uint8_t> copy;
  for (std::size_t y = 0; y < rows; ++y) {
    const std::uint8_t* row = from + y * from_stride;
    if ((y + 1) * from_stride + way.beyond() > bytes) {
      copy.assign(row, row + from_stride);
      copy.resize(from_stride + way.beyond());
      row = copy.data();
    }
    way.row(row, to + y * to_stride);
  }
}

}  // namespace

void resample_rows(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t from_width, const Taps& taps, int left) {
  const auto run = [&](const auto& way) { all_rows(way, from, to, rows, from_width * 3, taps.ranges.size() * 3); };
#if defined(__x86_64__)
  if (has_avx2()) return run(Avx2(taps, left));
#endif
  run(Plain(taps, left));
}

}  // namespace wherry
