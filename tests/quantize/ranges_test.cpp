// Grids, histograms and the ranges chosen from them, on values whose answers are known.
#include "quantize/calibrate/ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace wherry {
namespace {

using testing::FloatNear;

constexpr float inf = std::numeric_limits<float>::infinity();

std::vector<float> normal(std::size_t count, float deviation = 1, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0, deviation);
  std::vector<float> out(count);
  for (float& x : out) x = values(random);
  return out;
}

Histogram histogram_of(std::span<const float> values, std::size_t piece = 4096) {
  Histogram out;
  for (std::size_t at = 0; at < values.size(); at += piece) out.add(values.subspan(at, std::min(piece, values.size() - at)));
  return out;
}

void expect_same(const Histogram& a, const Histogram& b) {
  EXPECT_EQ(a.range(), b.range());
  EXPECT_EQ(a.total(), b.total());
  EXPECT_EQ(a.width(), b.width());
  EXPECT_EQ(a.first(), b.first());
  EXPECT_TRUE(std::ranges::equal(a.counts(), b.counts()));
}

TEST(Grid, HoldsZeroExactly) {
  for (const Range range : {Range{-1.3F, 4.1F}, Range{0.5F, 3}, Range{-3, -0.5F}, Range{-1e-4F, 7}, Range{0, 0}}) {
    const Grid grid = activation_grid(range, DType::int8);
    EXPECT_GT(grid.scale, 0);
    EXPECT_GE(grid.zero_point, -128);
    EXPECT_LE(grid.zero_point, 127);
    const Tensor zero = quantized(Tensor::from<float>({0}, {1}), grid);
    EXPECT_EQ(dequantized(zero, grid).item(), 0);
    const Range reached = range_of(grid);
    EXPECT_LE(reached.low, std::min(range.low, 0.0F) + grid.scale / 2 + 1e-6F) << "nudged by at most half a step";
    EXPECT_GE(reached.high, std::max(range.high, 0.0F) - grid.scale / 2 - 1e-6F);
  }
}

TEST(Grid, RoundsToTheNearestCodeAndSaturates) {
  const Grid grid{DType::int8, 0.5F, 10};
  const Tensor codes = quantized(Tensor::from<float>({0, 0.5F, 0.26F, 0.24F, 1000, -1000, 58.5F, -69}, {8}), grid);
  EXPECT_THAT(codes.to_ints(), testing::ElementsAre(10, 11, 11, 10, 127, -128, 127, -128));
  EXPECT_THAT(dequantized(codes, grid).to_floats(), testing::ElementsAre(0, 0.5F, 0.5F, 0, 58.5F, -69, 58.5F, -69));
}

TEST(Grid, IsSymmetricFor16Bits) {
  const Grid grid = activation_grid({-2, 0.5F}, DType::int16);
  EXPECT_EQ(grid.zero_point, 0);
  EXPECT_FLOAT_EQ(grid.scale, 2.0F / 32767);
  EXPECT_THAT(quantized(Tensor::from<float>({-2, 2, 3}, {3}), grid).to_ints(), testing::ElementsAre(-32767, 32767, 32767));
}

TEST(Grid, NeverHasAScaleThatARuntimeTakesForZero) {
  for (const DType dtype : {DType::int8, DType::int16}) EXPECT_GE(activation_grid({0, 1e-38F}, dtype).scale, 1e-10F);
}

TEST(Histogram, DoesNotDependOnTheOrderOfValues) {
  std::vector<float> values = normal(20000);
  for (std::size_t i = 0; i < values.size(); i += 1000) values[i] *= 50;  // widens again and again
  const Histogram forward = histogram_of(values, 500);
  std::ranges::reverse(values);
  expect_same(forward, histogram_of(values, 500));
  std::ranges::sort(values);
  expect_same(forward, histogram_of(values, 777));
}

TEST(Histogram, OfPartsAddsUpToThatOfTheWhole) {
  std::vector<float> values = normal(12000);
  for (std::size_t i = 9000; i < 12000; ++i) values[i] *= 300;
  const std::span<const float> all = values;
  for (const bool wide_first : {false, true}) {
    const auto half = [&](bool wide) { return histogram_of(wide ? all.subspan(9000) : all.subspan(0, 9000), 1000); };
    Histogram joined = half(wide_first);
    joined.add(half(!wide_first));
    expect_same(joined, histogram_of(all, 1000));
  }
}

TEST(Histogram, CountsEveryValueInItsBin) {
  const std::vector<float> values = normal(5000);
  const Histogram h = histogram_of(values, 100);
  std::vector<std::int64_t> expected(h.counts().size(), 0);
  for (const float x : values)
    ++expected.at(static_cast<std::size_t>(static_cast<std::int64_t>(std::floor(static_cast<double>(x) / h.width())) - h.first()));
  EXPECT_TRUE(std::ranges::equal(h.counts(), expected));
  EXPECT_GT(h.counts().size(), static_cast<std::size_t>(Histogram::bins / 2));
  EXPECT_LE(h.counts().size(), static_cast<std::size_t>(Histogram::bins));
}

TEST(Histogram, TakesConstantsAndNothing) {
  Histogram h;
  h.add(std::span<const float>{});
  EXPECT_TRUE(h.empty());
  EXPECT_EQ(h.range(), (Range{0, 0}));
  const std::vector<float> sevens(100, 7);
  h.add(sevens);
  EXPECT_EQ(h.range(), (Range{7, 7}));
  EXPECT_EQ(h.total(), 100);
  for (const RangeMethod method : {RangeMethod::minmax, RangeMethod::percentile, RangeMethod::mse, RangeMethod::kl}) {
    const Grid grid = activation_grid(choose_range(h, method, DType::int8), DType::int8);
    EXPECT_NEAR(dequantized(quantized(Tensor::from(sevens, {100}), grid), grid).item(), 7, 0.03) << name(method);
  }
}

TEST(Histogram, SaysWhenThereWasNoNumber) {
  for (const float bad : {std::nanf(""), inf, -inf}) {
    std::vector<float> values = normal(100);
    values[57] = bad;
    Histogram h = histogram_of(normal(100, 1, 2));
    EXPECT_TRUE(h.finite());
    h.add(histogram_of(values));
    EXPECT_FALSE(h.finite());
  }
}

TEST(Ranges, MinMaxIsExact) {
  const std::vector<float> values = {-1.25F, 3.5F, 0.1F};
  EXPECT_EQ(choose_range(histogram_of(values), RangeMethod::minmax, DType::int8), (Range{-1.25F, 3.5F}));
}

TEST(Ranges, PercentileLeavesOutWhatItSays) {
  std::vector<float> values(100000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 1000;  // 0 to 100
  values.back() = 1e4F;
  const Range range = choose_range(histogram_of(values), RangeMethod::percentile, DType::int8, 99);
  EXPECT_THAT(range.high, FloatNear(99, 8)) << "within a bin";
  EXPECT_LT(range.low, 9);
}

// With and without outliers: as good as the best symmetric range, found by trying all.
TEST(Ranges, LeastErrorIsTheLeast) {
  for (const float outlier : {0.0F, 30.0F}) {
    std::vector<float> values = normal(60000);
    values[5] = outlier;
    values[6] = -outlier;
    const Histogram h = histogram_of(values);
    const Range found = choose_range(h, RangeMethod::mse, DType::int8);
    double least = squared_error(h, h.range(), DType::int8);
    const double all = least;
    for (float c = 1; c < 30; c += 0.1F) least = std::min(least, squared_error(h, {-c, c}, DType::int8));
    EXPECT_LE(squared_error(h, found, DType::int8), 1.05 * least) << outlier;
    EXPECT_LT(least, 0.95 * all) << "clipping would not help";
  }
}

TEST(Ranges, SquaredErrorIsThatOfTheGrid) {
  const std::vector<float> values = normal(60000);
  const Histogram h = histogram_of(values);
  const Range range{-2, 2.5F};
  const Grid grid = activation_grid(range, DType::int8);
  const std::vector<float> told = dequantized(quantized(Tensor::from(values, {60000}), grid), grid).to_floats();
  double error = 0;
  for (std::size_t i = 0; i < values.size(); ++i) error += std::pow(static_cast<double>(told[i]) - static_cast<double>(values[i]), 2);
  EXPECT_NEAR(squared_error(h, range, DType::int8), error / 60000, 0.05 * error / 60000);
}

// The divergence must not be fooled by the noise of few counts a bin: where nothing stands far out, hardly anything is clipped.
TEST(Ranges, DivergenceKeepsWhatHasNoOutliers) {
  for (const std::size_t count : {std::size_t{2000}, std::size_t{20000}, std::size_t{400000}}) {
    std::vector<float> uniform(count), rectified = normal(count);
    std::mt19937 random(3);
    for (float& x : uniform) x = std::uniform_real_distribution<float>(-1, 3)(random);
    for (float& x : rectified) x = std::max(x, 0.0F);
    const Range even = choose_range(histogram_of(uniform), RangeMethod::kl, DType::int8);
    EXPECT_GT(even.high, 2.8F) << count;
    EXPECT_LT(even.low, -0.9F) << count;
    EXPECT_GT(choose_range(histogram_of(rectified), RangeMethod::kl, DType::int8).high, 2.5F) << count;
    const Range bell = choose_range(histogram_of(normal(count)), RangeMethod::kl, DType::int8);
    EXPECT_GT(bell.high, 2.5F) << count;
    EXPECT_LT(bell.low, -2.5F) << count;
  }
}

TEST(Ranges, DivergenceLeavesOutliersOut) {
  std::vector<float> values = normal(400000);
  values[5] = 60;
  values[6] = -60;
  const Range range = choose_range(histogram_of(values), RangeMethod::kl, DType::int8);
  EXPECT_LT(range.high, 20);
  EXPECT_GT(range.high, 2.5F);
  EXPECT_GT(range.low, -20);
  EXPECT_LT(range.low, -2.5F);
}

// A capped activation takes its cap often: that is no outlier.
TEST(Ranges, EveryMethodKeepsACap) {
  std::vector<float> values = normal(100000, 4);
  for (float& x : values) x = std::clamp(x, 0.0F, 6.0F);
  for (const RangeMethod method : {RangeMethod::percentile, RangeMethod::mse, RangeMethod::kl})
    EXPECT_THAT(choose_range(histogram_of(values), method, DType::int8).high, FloatNear(6, 0.3F)) << name(method);
}

}  // namespace
}  // namespace wherry
