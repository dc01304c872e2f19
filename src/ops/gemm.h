// Matrix multiplication for the reference evaluator: float32, row-major, the right-hand side made sixteen columns at a time.
#pragma once

#include <cstdint>
#include <functional>

namespace wherry {

inline constexpr int gemm_columns = 16;

// Writes columns first … first + count - 1 of the right-hand matrix: element (k, first + j) to panel[k * gemm_columns + j].
// What it does not write is of no consequence beyond column count.
using PackColumns = std::function<void(std::int64_t first, int count, float* panel)>;

// c[m, n] = a[m, k] · b[k, n] + bias[m] (no bias: nullptr).
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const PackColumns& pack, const float* bias, float* c);

// c[m, n] = aᵀ · b of row-major a[k, m] and b[k, n].
void gemm_of_transposed(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c);
// c[n, n] = aᵀ · a of a row-major a[k, n]: half the work.
void gram(std::int64_t n, std::int64_t k, const float* a, float* c);

PackColumns columns_of(const float* b, std::int64_t k, std::int64_t n);  // of a row-major [k, n]
PackColumns columns_of_transposed(const float* b, std::int64_t k);       // of the transpose of a row-major [n, k]

}  // namespace wherry
