#include "ops/gemm.h"

#include "base/simd.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace wherry {

namespace {

// `rows` rows of sixteen columns, held in registers while k runs.
template <class Lanes, int rows>
[[gnu::always_inline]] inline void tile(std::int64_t depth, const float* a, const float* panel, const float* bias, float* c,
                                        std::int64_t stride, int count) {
  constexpr int width = sizeof(Lanes) / sizeof(float), parts = gemm_columns / width;
  Lanes sum[rows][parts];
  for (int r = 0; r < rows; ++r)
    for (int p = 0; p < parts; ++p) sum[r][p] = Lanes{} + (bias ? bias[r] : 0.0F);
  for (std::int64_t k = 0; k < depth; ++k) {
    Lanes b[parts];
    for (int p = 0; p < parts; ++p) std::memcpy(&b[p], panel + k * gemm_columns + p * width, sizeof(Lanes));
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < parts; ++p) sum[r][p] += a[r * depth + k] * b[p];
  }
  for (int r = 0; r < rows; ++r) {
    if (count == gemm_columns) {
      for (int p = 0; p < parts; ++p) std::memcpy(c + r * stride + p * width, &sum[r][p], sizeof(Lanes));
    } else {
      float out[gemm_columns];
      for (int p = 0; p < parts; ++p) std::memcpy(out + p * width, &sum[r][p], sizeof(Lanes));
      std::memcpy(c + r * stride, out, static_cast<std::size_t>(count) * sizeof(float));
    }
  }
}

template <class Lanes, int rows>
[[gnu::always_inline]] inline void column_block(std::int64_t m, std::int64_t depth, const float* a, const float* panel, const float* bias,
                                                float* c, std::int64_t stride, int count) {
  std::int64_t i = 0;
  for (; i + rows <= m; i += rows) tile<Lanes, rows>(depth, a + i * depth, panel, bias ? bias + i : nullptr, c + i * stride, stride, count);
  for (; i < m; ++i) tile<Lanes, 1>(depth, a + i * depth, panel, bias ? bias + i : nullptr, c + i * stride, stride, count);
}

using Lanes4 = float __attribute__((vector_size(16)));

void block_plain(std::int64_t m, std::int64_t depth, const float* a, const float* panel, const float* bias, float* c, std::int64_t stride,
                 int count) {
  column_block<Lanes4, 2>(m, depth, a, panel, bias, c, stride, count);
}

#if defined(__x86_64__)
using Lanes8 = float __attribute__((vector_size(32)));

__attribute__((target("avx2,fma"))) void block_avx2(std::int64_t m, std::int64_t depth, const float* a, const float* panel,
                                                    const float* bias, float* c, std::int64_t stride, int count) {
  column_block<Lanes8, 6>(m, depth, a, panel, bias, c, stride, count);
}
#endif

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const PackColumns& pack, const float* bias, float* c) {
  auto* block = block_plain;
#if defined(__x86_64__)
  if (has_avx2()) block = block_avx2;
#endif
  std::vector<float> panel(static_cast<std::size_t>(k) * gemm_columns);
  for (std::int64_t first = 0; first < n; first += gemm_columns) {
    const int count = static_cast<int>(std::min<std::int64_t>(gemm_columns, n - first));
    pack(first, count, panel.data());
    block(m, k, a, panel.data(), bias, c + first, n, count);
  }
}

PackColumns columns_of(const float* b, std::int64_t k, std::int64_t n) {
  return [=](std::int64_t first, int count, float* panel) {
    const float* from = b + first;
    if (count == gemm_columns) {
      for (std::int64_t i = 0; i < k; ++i) std::memcpy(panel + i * gemm_columns, from + i * n, gemm_columns * sizeof(float));
    } else {
      for (std::int64_t i = 0; i < k; ++i)
        std::memcpy(panel + i * gemm_columns, from + i * n, static_cast<std::size_t>(count) * sizeof(float));
    }
  };
}

PackColumns columns_of_transposed(const float* b, std::int64_t k) {
  return [=](std::int64_t first, int count, float* panel) {
    for (int j = 0; j < count; ++j)
      for (std::int64_t i = 0; i < k; ++i) panel[i * gemm_columns + j] = b[(first + j) * k + i];
  };
}

}  // namespace wherry
