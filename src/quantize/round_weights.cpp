#include "quantize/round_weights.h"

#include "ops/gemm.h"
#include "quantize/linear_algebra.h"

#include <cmath>
#include <numeric>

namespace wherry {

namespace {

float nearest_code(float weight, float scale, float limit) { return std::clamp(std::nearbyint(weight / scale), -limit, limit); }

}  // namespace

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix out(a.rows(), b.cols());
  gemm(a.rows(), b.cols(), a.cols(), a.data(), columns_of(b.data(), b.rows(), b.cols()), nullptr, out.data());
  return out;
}

Matrix round_nearest(const Matrix& weight, const Vector& scale, float limit) {
  Matrix codes(weight.rows(), weight.cols());
  for (Eigen::Index o = 0; o < weight.rows(); ++o)
    for (Eigen::Index i = 0; i < weight.cols(); ++i) codes(o, i) = nearest_code(weight(o, i), scale(o), limit);
  return codes;
}

double output_error(const Matrix& difference, const Matrix& moment) {
  return static_cast<double>(product(difference, moment).cwiseProduct(difference).sum());
}

Matrix refit(const Matrix& weight, const Matrix& xx, const Matrix& fx, float pull) {
  const Eigen::Index d = xx.rows();
  Matrix system = xx;
  system.diagonal().array() += pull;
  Matrix out = product(weight, fx) + pull * weight;  // by rows: its transpose by columns
  solve_symmetric(d, system.data(), out.rows(), out.data());
  return out;
}

Matrix round_gptq(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit) {
  const Eigen::Index d = weight.cols(), rows = weight.rows();
  std::vector<Eigen::Index> order(static_cast<std::size_t>(d));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](Eigen::Index a, Eigen::Index b) { return moment(a, a) > moment(b, b); });
  const float damping = std::max(0.01F * moment.diagonal().mean(), 1e-12F);
  Matrix u(d, d);
  Matrix w(rows, d);
  for (Eigen::Index j = 0; j < d; ++j) {
    w.col(j) = weight.col(order[static_cast<std::size_t>(j)]);
    for (Eigen::Index i = 0; i < d; ++i) u(i, j) = moment(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
    u(j, j) += damping;
  }
  inverse_factor(d, u.data());

  Matrix codes(rows, d);
  constexpr Eigen::Index block = 64;
  for (Eigen::Index first = 0; first < d; first += block) {
    const Eigen::Index last = std::min(first + block, d);
    Matrix errors(rows, last - first);
    for (Eigen::Index o = 0; o < rows; ++o)
      for (Eigen::Index j = first; j < last; ++j) {
        const float code = nearest_code(w(o, j), scale(o), limit);
        codes(o, order[static_cast<std::size_t>(j)]) = code;
        const float error = (w(o, j) - scale(o) * code) / u(j, j);
        errors(o, j - first) = error;
        for (Eigen::Index k = j + 1; k < last; ++k) w(o, k) -= error * u(j, k);
      }
    if (last < d) {
      const Matrix rest = u.block(first, last, last - first, d - last);
      w.rightCols(d - last) -= product(errors, rest);
    }
  }
  return codes;
}

}  // namespace wherry
