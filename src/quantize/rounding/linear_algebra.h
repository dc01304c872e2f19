// Symmetric positive definite systems in float32, on square row-major arrays (a symmetric matrix is its own transpose). Eigen,
// compiled twice: for the build's own instruction set and for AVX2 with FMA, chosen at run time.
#pragma once

#include <cstdint>

namespace wherry {

// The lower triangular L with L Lᵀ = system, in place and column-major. Needs: positive definite.
void factor_symmetric(std::int64_t size, float* system);
// system · X = right by its factor: [size, columns], column-major, replaced by X.
void solve_factored(std::int64_t size, const float* factor, std::int64_t columns, float* right);

// The upper triangular U with Uᵀ U = system⁻¹, row-major, in place.
void inverse_factor(std::int64_t size, float* system);

}  // namespace wherry
