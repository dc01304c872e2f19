// Included by linear_algebra.cpp and linear_algebra_avx2.cpp, each in its own namespace and with its own instruction set. Nothing of
// the standard library may be instantiated here: the linker would keep one copy for both.
#include <Eigen/Cholesky>

namespace wherry::WHERRY_ALGEBRA {

using Columns = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;

void solve_symmetric(long size, float* system, long columns, float* right) {
  Eigen::Map<Columns> s(system, size, size), b(right, size, columns);
  Eigen::LLT<Eigen::Ref<Columns>> factored(s);
  factored.solveInPlace(b);
}

// With J the reversal of all axes, J S J = L Lᵀ gives S = R Rᵀ for the upper triangular R = J L J; then S⁻¹ = R⁻ᵀ R⁻¹ and U = R⁻¹.
void inverse_factor(long size, float* system) {
  Eigen::Map<Columns> s(system, size, size);
  Columns reversed = s.reverse();
  Eigen::LLT<Eigen::Ref<Columns>> factored(reversed);
  Columns inverse = Columns::Identity(size, size);
  factored.matrixL().solveInPlace(inverse);  // L⁻¹, lower triangular
  s.transpose() = inverse.reverse();         // J L⁻¹ J, stored by rows
}

}  // namespace wherry::WHERRY_ALGEBRA
