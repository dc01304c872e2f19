#include "ops/gemm.h"

#include "base/simd.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace wherry {

namespace {

constexpr std::int64_t depth_block = 256;                     // of both sides: fits into the first-level cache
constexpr std::int64_t panels_bytes = std::int64_t{1} << 21;  // packed at a time

// The left-hand side: [m, k] by rows, or its transpose.
struct Left {
  const float* data;
  std::int64_t stride;
  bool transposed;
};

// Part of a product: packed rows times a panel of packed columns, added to `c` or, at first, to the bias.
struct Part {
  const float* left;   // [blocks of rows, depth, rows of a block]
  const float* panel;  // [depth, gemm_columns]
  std::int64_t depth;
  const float* bias;  // by row; nullptr: none
  bool first;
  float* c;
  std::int64_t stride;
  int count;  // of columns
};

// `present` of the `rows` rows from `at` on, held in registers while k runs.
template <class Lanes, int rows>
[[gnu::always_inline]] inline void tile(const Part& part, std::int64_t at, int present) {
  constexpr int width = sizeof(Lanes) / sizeof(float), parts = gemm_columns / width;
  const std::int64_t depth = part.depth;
  const float *left = part.left + at * depth, *panel = part.panel;
  float* c = part.c + at * part.stride;
  // A copy of constant size needs no call.
  const auto copy = [&](float* to, const float* from) {
    if (part.count == gemm_columns)
      std::memcpy(to, from, gemm_columns * sizeof(float));
    else
      std::memcpy(to, from, static_cast<std::size_t>(part.count) * sizeof(float));
  };
  Lanes sum[rows][parts];
  for (int r = 0; r < rows; ++r) {
    float begin[gemm_columns] = {};
    if (!part.first && r < present) copy(begin, c + r * part.stride);
    const float bias = part.first && part.bias && r < present ? part.bias[at + r] : 0.0F;
    for (int p = 0; p < parts; ++p) {
      Lanes from;
      std::memcpy(&from, begin + p * width, sizeof(Lanes));
      sum[r][p] = from + bias;
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Lanes b[parts];
    for (int p = 0; p < parts; ++p) std::memcpy(&b[p], panel + k * gemm_columns + p * width, sizeof(Lanes));
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < parts; ++p) sum[r][p] += left[k * rows + r] * b[p];
  }
  for (int r = 0; r < present; ++r) {
    float out[gemm_columns];
    for (int p = 0; p < parts; ++p) std::memcpy(out + p * width, &sum[r][p], sizeof(Lanes));
    copy(c + r * part.stride, out);
  }
}

template <class Lanes, int rows>
[[gnu::always_inline]] inline void all_rows(const Part& part, std::int64_t m) {
  for (std::int64_t i = 0; i < m; i += rows) tile<Lanes, rows>(part, i, static_cast<int>(std::min<std::int64_t>(rows, m - i)));
}

// Columns [first, first + depth) of all rows, block by block; missing rows are zero.
template <int rows>
void pack_rows(const Left& left, std::int64_t m, std::int64_t first, std::int64_t depth, float* out) {
  for (std::int64_t i = 0; i < m; i += rows, out += depth * rows) {
    const auto present = static_cast<int>(std::min<std::int64_t>(rows, m - i));
    const float* from = left.transposed ? left.data + first * left.stride + i : left.data + i * left.stride + first;
    if (present < rows) std::fill_n(out, depth * rows, 0.0F);
    if (left.transposed && present == rows) {
      for (std::int64_t k = 0; k < depth; ++k) std::memcpy(out + k * rows, from + k * left.stride, rows * sizeof(float));
    } else {
      const std::int64_t row = left.transposed ? 1 : left.stride, column = left.transposed ? left.stride : 1;
      for (int r = 0; r < present; ++r)
        for (std::int64_t k = 0; k < depth; ++k) out[k * rows + r] = from[r * row + k * column];
    }
  }
}

struct Kernel {
  int rows;
  void (*pack)(const Left& left, std::int64_t m, std::int64_t first, std::int64_t depth, float* out);
  void (*run)(const Part& part, std::int64_t m);
};

using Lanes4 = float __attribute__((vector_size(16)));
void rows_plain(const Part& part, std::int64_t m) { all_rows<Lanes4, 2>(part, m); }

#if defined(__x86_64__)
using Lanes8 = float __attribute__((vector_size(32)));
using Lanes16 = float __attribute__((vector_size(64)));
__attribute__((target("avx2,fma"))) void rows_avx2(const Part& part, std::int64_t m) { all_rows<Lanes8, 6>(part, m); }
__attribute__((target("avx512f"))) void rows_avx512(const Part& part, std::int64_t m) { all_rows<Lanes16, 12>(part, m); }
#endif

Kernel best_kernel() {
#if defined(__x86_64__)
  if (has_avx512()) return {12, pack_rows<12>, rows_avx512};
  if (has_avx2()) return {6, pack_rows<6>, rows_avx2};
#endif
  return {2, pack_rows<2>, rows_plain};
}

// rows_of(last column) says how many rows of a panel's columns are wanted.
template <class RowsOf>
void multiply(const Left& left, std::int64_t m, std::int64_t n, std::int64_t k, const PackColumns& pack, const float* bias, float* c,
              const RowsOf& rows_of) {
  const Kernel kernel = best_kernel();
  const std::int64_t panel_size = std::max<std::int64_t>(k, 1) * gemm_columns;
  const std::int64_t at_once =
      std::max<std::int64_t>(panels_bytes / (panel_size * static_cast<std::int64_t>(sizeof(float))), 1) * gemm_columns;
  std::vector<float> panels(static_cast<std::size_t>(panel_size * ((std::min(at_once, n) + gemm_columns - 1) / gemm_columns)));
  std::vector<float> packed(static_cast<std::size_t>((m + kernel.rows) * std::min(k, depth_block)));
  for (std::int64_t begin = 0; begin < n; begin += at_once) {
    const std::int64_t end = std::min(begin + at_once, n);
    const auto each_panel = [&](const auto& work) {
      float* panel = panels.data();
      for (std::int64_t first = begin; first < end; first += gemm_columns, panel += panel_size)
        work(first, static_cast<int>(std::min<std::int64_t>(gemm_columns, n - first)), panel);
    };
    each_panel(pack);
    for (std::int64_t at = 0; at == 0 || at < k; at += depth_block) {
      const std::int64_t depth = std::min(depth_block, k - at);
      kernel.pack(left, m, at, depth, packed.data());
      each_panel([&](std::int64_t first, int count, const float* panel) {
        kernel.run({packed.data(), panel + at * gemm_columns, depth, bias, at == 0, c + first, n, count}, rows_of(first + count));
      });
    }
  }
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const PackColumns& pack, const float* bias, float* c) {
  multiply({a, k, false}, m, n, k, pack, bias, c, [=](std::int64_t) { return m; });
}

void gemm_of_transposed(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
  multiply({a, m, true}, m, n, k, columns_of(b, k, n), nullptr, c, [=](std::int64_t) { return m; });
}

void gram(std::int64_t n, std::int64_t k, const float* a, float* c) {
  multiply({a, n, true}, n, n, k, columns_of(a, k, n), nullptr, c, [](std::int64_t last) { return last; });
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) c[i * n + j] = c[j * n + i];
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
