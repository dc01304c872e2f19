// Symmetric positive definite systems in float32, on square row-major arrays (a symmetric matrix is its own transpose). Eigen,
// compiled twice: for the build's own instruction set and for AVX2 with FMA, chosen at run time.
#pragma once

#include <cstdint>

namespace wherry {

// system · X = right: [size, columns], column-major, replaced by X. `system` is overwritten. Needs: positive definite.
void solve_symmetric(std::int64_t size, float* system, std::int64_t columns, float* right);

// The upper triangular U with Uᵀ U = system⁻¹, row-major, in place.
void inverse_factor(std::int64_t size, float* system);

}  // namespace wherry
