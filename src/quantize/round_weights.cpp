#include "quantize/round_weights.h"

#include "ops/gemm.h"
#include "quantize/linear_algebra.h"
#include "quantize/program.h"

#include <cmath>
#include <numeric>

namespace wherry {

namespace {

float nearest_code(float weight, float scale, float limit) { return std::clamp(std::nearbyint(weight / scale), -limit, limit); }

// each(first, count) for blocks of rows that are the same whatever the threads.
void by_rows(Eigen::Index rows, int threads, const std::function<void(Eigen::Index first, Eigen::Index count)>& each) {
  constexpr Eigen::Index step = 12, least = 2 * step, most = 8 * step;  // rows that a product takes at once
  const Eigen::Index block = std::clamp((rows / 2 + step - 1) / step * step, least, most);
  const auto blocks = static_cast<std::size_t>((rows + block - 1) / block);
  parallel_for(blocks, threads, [&](std::size_t b, int) {
    const Eigen::Index first = static_cast<Eigen::Index>(b) * block;
    each(first, std::min(block, rows - first));
  });
}

// GPTQ of rows whose columns are in order, with U the upper Cholesky factor of the inverse moment: `w` becomes the codes.
void round_in_order(Matrix& w, const Vector& scale, const Matrix& u, float limit) {
  constexpr Eigen::Index block = 64;
  const Eigen::Index d = w.cols(), rows = w.rows();
  for (Eigen::Index first = 0; first < d; first += block) {
    const Eigen::Index last = std::min(first + block, d);
    Matrix errors(rows, last - first);
    for (Eigen::Index o = 0; o < rows; ++o)
      for (Eigen::Index j = first; j < last; ++j) {
        const float code = nearest_code(w(o, j), scale(o), limit), error = (w(o, j) - scale(o) * code) / u(j, j);
        w(o, j) = code;
        errors(o, j - first) = error;
        for (Eigen::Index k = j + 1; k < last; ++k) w(o, k) -= error * u(j, k);
      }
    if (last < d) {
      const Matrix rest = u.block(first, last, last - first, d - last);
      w.rightCols(d - last) -= product(errors, rest);
    }
  }
}

}  // namespace

Matrix product(const Matrix& a, const Matrix& b, int threads) {
  Matrix out(a.rows(), b.cols());
  by_rows(a.rows(), threads, [&](Eigen::Index first, Eigen::Index count) {
    gemm(count, b.cols(), a.cols(), a.data() + first * a.cols(), columns_of(b.data(), b.rows(), b.cols()), nullptr,
         out.data() + first * b.cols());
  });
  return out;
}

Matrix round_nearest(const Matrix& weight, const Vector& scale, float limit) {
  Matrix codes(weight.rows(), weight.cols());
  for (Eigen::Index o = 0; o < weight.rows(); ++o)
    for (Eigen::Index i = 0; i < weight.cols(); ++i) codes(o, i) = nearest_code(weight(o, i), scale(o), limit);
  return codes;
}

double output_error(const Matrix& difference, const Matrix& moment, int threads) {
  return static_cast<double>(product(difference, moment, threads).cwiseProduct(difference).sum());
}

Matrix refit(const Matrix& weight, const Matrix& xx, const Matrix& fx, float pull, int threads) {
  const Eigen::Index d = xx.rows();
  Matrix system = xx;
  system.diagonal().array() += pull;
  factor_symmetric(d, system.data());
  Matrix out = product(weight, fx, threads) + pull * weight;  // by rows: its transpose by columns
  by_rows(out.rows(), threads,
          [&](Eigen::Index first, Eigen::Index count) { solve_factored(d, system.data(), count, out.data() + first * d); });
  return out;
}

GptqMoment gptq_moment(const Matrix& moment) {
  const Eigen::Index d = moment.cols();
  GptqMoment out{.order = std::vector<Eigen::Index>(static_cast<std::size_t>(d)), .factor = {}};
  std::iota(out.order.begin(), out.order.end(), 0);
  std::ranges::stable_sort(out.order, [&](Eigen::Index a, Eigen::Index b) { return moment(a, a) > moment(b, b); });
  const float damping = std::max(0.01F * moment.diagonal().mean(), 1e-12F);
  out.factor = moment(out.order, out.order);
  out.factor.diagonal().array() += damping;
  inverse_factor(d, out.factor.data());
  return out;
}

Matrix round_gptq(const Matrix& weight, const Vector& scale, const GptqMoment& moment, float limit, int threads) {
  Matrix codes(weight.rows(), weight.cols());
  by_rows(weight.rows(), threads, [&](Eigen::Index first, Eigen::Index count) {
    Matrix w = weight.middleRows(first, count)(Eigen::all, moment.order);
    round_in_order(w, scale.segment(first, count), moment.factor, limit);
    codes.middleRows(first, count)(Eigen::all, moment.order) = w;
  });
  return codes;
}

Matrix round_gptq(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit, int threads) {
  return round_gptq(weight, scale, gptq_moment(moment), limit, threads);
}

}  // namespace wherry
