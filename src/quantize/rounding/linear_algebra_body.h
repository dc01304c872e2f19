// Included by linear_algebra.cpp and linear_algebra_avx2.cpp, each in its own namespace and with its own instruction set. Nothing of
// the standard library may be instantiated here: the linker would keep one copy for both.
#include <Eigen/Cholesky>

namespace wherry::WHERRY_ALGEBRA {

using Columns = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;

void factor_symmetric(long size, float* system) {
  Eigen::Map<Columns> s(system, size, size);
  Eigen::LLT<Eigen::Ref<Columns>> factored(s);
}

void solve_factored(long size, const float* factor, long columns, float* right) {
  const Eigen::Map<const Columns> l(factor, size, size);
  Eigen::Map<Columns> b(right, size, columns);
  l.triangularView<Eigen::Lower>().solveInPlace(b);
  l.triangularView<Eigen::Lower>().adjoint().solveInPlace(b);
}

// With J the reversal of all axes, J S J = L Lᵀ gives S = R Rᵀ for the upper triangular R = J L J; then S⁻¹ = R⁻ᵀ R⁻¹ and U = R⁻¹.
void inverse_factor(long size, float* system) {
  Eigen::Map<Columns> s(system, size, size);
  Columns reversed = s.reverse();
  Eigen::LLT<Eigen::Ref<Columns>> factored(reversed);
  Columns inverse = Columns::Identity(size, size);
  constexpr long block = 96;  // columns of L⁻¹, which is lower triangular: what stands above them is nothing
  for (long first = 0; first < size; first += block) {
    const long rest = size - first, columns = rest < block ? rest : block;
    auto part = inverse.block(first, first, rest, columns);
    reversed.bottomRightCorner(rest, rest).triangularView<Eigen::Lower>().solveInPlace(part);
  }
  s.transpose() = inverse.reverse();  // J L⁻¹ J, stored by rows
}

}  // namespace wherry::WHERRY_ALGEBRA
