#include "data/score.h"

#include <gtest/gtest.h>

#include <cmath>

namespace wherry {
namespace {

// Values of the published interval (Brown, Cai, DasGupta 2001 give the formula); computed with statsmodels.
TEST(Score, WilsonInterval) {
  EXPECT_NEAR(wilson(443, 500).low, 0.85514, 1e-4);
  EXPECT_NEAR(wilson(443, 500).high, 0.91098, 1e-4);
  EXPECT_NEAR(wilson(0, 10).low, 0, 1e-12);
  EXPECT_NEAR(wilson(0, 10).high, 0.27753, 1e-4);
  EXPECT_NEAR(wilson(10, 10).high, 1, 1e-12);
}

TEST(Score, TopFiveKeepsTheOrderOfEqualScores) {
  const std::vector<float> scores = {1, 5, 5, 0, 9, 2, 5, 1};
  EXPECT_EQ(top_five(scores).classes, (std::array<std::size_t, 5>{4, 1, 2, 6, 5}));
  const std::vector<float> two = {1, 2};
  EXPECT_EQ(top_five(two).first(), 1U);
  EXPECT_EQ(top_five(two).classes[2], TopFive::none);
  EXPECT_FALSE(top_five(two).holds(7));
}

TEST(Score, Distances) {
  const std::vector<float> a = {3, 4}, b = {3, 3};
  const std::vector<Distance> all = {distance(a, b), distance(a, a)};
  const DistanceSummary summary = summarise(all);
  EXPECT_NEAR(summary.sqnr_db, 10 * std::log10(50.0), 1e-9);
  EXPECT_NEAR(summary.l2, 0.5, 1e-9);
  EXPECT_NEAR(summary.cosine, (21 / (5 * std::sqrt(18.0)) + 1) / 2, 1e-9);
  EXPECT_TRUE(std::isinf(summarise(std::vector<Distance>{distance(a, a)}).sqnr_db));
}

TEST(Score, Percentiles) {
  EXPECT_EQ(percentile({4, 1, 3, 2, 5}, 0.5), 3);
  EXPECT_NEAR(percentile({1, 2}, 0.9), 1.9, 1e-12);
}

}  // namespace
}  // namespace wherry
