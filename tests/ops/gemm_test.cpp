// Matrix products against sums of products, at sizes around the kernels' blocks.
#include "ops/gemm.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace wherry {
namespace {

using Values = std::vector<float>;

Values random(std::int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  Values out(static_cast<std::size_t>(count));
  for (float& x : out) x = std::uniform_real_distribution<float>(-1, 1)(engine);
  return out;
}

float at(const Values& m, std::int64_t columns, std::int64_t row, std::int64_t column) {
  return m[static_cast<std::size_t>(row * columns + column)];
}

Values transposed(const Values& m, std::int64_t rows, std::int64_t columns) {
  Values out(m.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) out[static_cast<std::size_t>(c * rows + r)] = at(m, columns, r, c);
  return out;
}

void expect_product(const Values& a, const Values& b, const Values& found, std::int64_t m, std::int64_t n, std::int64_t k, float bias) {
  double worst = 0;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = static_cast<double>(bias) * static_cast<double>(i);
      for (std::int64_t p = 0; p < k; ++p) sum += static_cast<double>(at(a, k, i, p)) * static_cast<double>(at(b, n, p, j));
      worst = std::max(worst, std::abs(sum - static_cast<double>(at(found, n, i, j))));
    }
  EXPECT_LE(worst, 1e-6 * static_cast<double>(k + 16) + 1e-5) << m << " x " << n << " x " << k;
}

TEST(Gemm, EqualsSumsOfProducts) {
  for (const std::int64_t m : {1, 2, 5, 12, 13, 37})
    for (const std::int64_t n : {1, 15, 16, 17, 50})
      for (const std::int64_t k : {1, 7, 256, 257, 600}) {
        const Values a = random(m * k, 1), b = random(k * n, 2);
        Values bias(static_cast<std::size_t>(m)), c(static_cast<std::size_t>(m * n), NAN);
        for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = 0.5F * static_cast<float>(i);
        gemm(m, n, k, a.data(), columns_of(b.data(), k, n), bias.data(), c.data());
        expect_product(a, b, c, m, n, k, 0.5F);
        gemm(m, n, k, a.data(), columns_of_transposed(transposed(b, k, n).data(), k), nullptr, c.data());
        expect_product(a, b, c, m, n, k, 0);
        gemm_of_transposed(m, n, k, transposed(a, m, k).data(), b.data(), c.data());
        expect_product(a, b, c, m, n, k, 0);
      }
}

TEST(Gemm, OfManyPanelsEqualsSumsOfProducts) {
  const std::int64_t m = 3, n = 200, k = 20000;  // panels take more than is packed at a time
  const Values a = random(m * k, 1), b = random(k * n, 2);
  Values c(static_cast<std::size_t>(m * n));
  gemm(m, n, k, a.data(), columns_of(b.data(), k, n), nullptr, c.data());
  expect_product(a, b, c, m, n, k, 0);
}

TEST(Gemm, OfNothingIsTheBias) {
  Values c(6, NAN);
  const Values bias = {1, 2};
  gemm(2, 3, 0, nullptr, columns_of(nullptr, 0, 3), bias.data(), c.data());
  EXPECT_EQ(c, (Values{1, 1, 1, 2, 2, 2}));
}

TEST(Gram, EqualsTheProductWithTheTranspose) {
  for (const std::int64_t n : {1, 16, 17, 61})
    for (const std::int64_t k : {1, 300}) {
      const Values a = random(k * n, 3);
      Values c(static_cast<std::size_t>(n * n));
      gram(n, k, a.data(), c.data());
      expect_product(transposed(a, k, n), a, c, n, n, k, 0);
    }
}

}  // namespace
}  // namespace wherry
