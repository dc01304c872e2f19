#define WHERRY_ALGEBRA plain
#include "quantize/rounding/linear_algebra.h"

#include "base/simd.h"
#include "quantize/rounding/linear_algebra_body.h"

namespace wherry {

#if defined(__x86_64__)
namespace avx2 {
void factor_symmetric(long size, float* system);
void solve_factored(long size, const float* factor, long columns, float* right);
void inverse_factor(long size, float* system);
}  // namespace avx2

void factor_symmetric(std::int64_t size, float* system) { (has_avx2() ? avx2::factor_symmetric : plain::factor_symmetric)(size, system); }
void solve_factored(std::int64_t size, const float* factor, std::int64_t columns, float* right) {
  (has_avx2() ? avx2::solve_factored : plain::solve_factored)(size, factor, columns, right);
}
void inverse_factor(std::int64_t size, float* system) { (has_avx2() ? avx2::inverse_factor : plain::inverse_factor)(size, system); }
#else
void factor_symmetric(std::int64_t size, float* system) { plain::factor_symmetric(size, system); }
void solve_factored(std::int64_t size, const float* factor, std::int64_t columns, float* right) {
  plain::solve_factored(size, factor, columns, right);
}
void inverse_factor(std::int64_t size, float* system) { plain::inverse_factor(size, system); }
#endif

}  // namespace wherry
