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

Rounded round_nearest(const Matrix& weight, const Vector& scale, float limit) {
  Matrix codes(weight.rows(), weight.cols());
  for (Eigen::Index o = 0; o < weight.rows(); ++o)
    for (Eigen::Index i = 0; i < weight.cols(); ++i) codes(o, i) = nearest_code(weight(o, i), scale(o), limit);
  return {std::move(codes), scale};
}

Vector output_errors(const Matrix& difference, const Matrix& moment, int threads) {
  return product(difference, moment, threads).cwiseProduct(difference).rowwise().sum();
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

Rounded round_gptq(const Matrix& weight, const Vector& scale, const Matrix& moment, const GptqMoment& prepared, float limit, double work,
                   int threads) {
  const Eigen::Index rows = weight.rows();
  const auto once = static_cast<double>(moment.size()) * static_cast<double>(rows);
  const auto tries = static_cast<Eigen::Index>(std::clamp(work / once, 1.0, 64.0));
  const float least = 1 - 2 / limit, most = 1.2F;  // clipping pays where steps are wide
  const Matrix weights = weight.replicate(tries, 1);
  Vector scales(tries * rows);
  for (Eigen::Index t = 0; t < tries; ++t) {
    const float factor = least + (most - least) * static_cast<float>(t) / static_cast<float>(tries);
    scales.segment(t * rows, rows) = scale * (t == 0 ? 1 : factor);
  }
  Matrix codes(weights.rows(), weights.cols());
  by_rows(weights.rows(), threads, [&](Eigen::Index first, Eigen::Index count) {
    Matrix w = weights.middleRows(first, count)(Eigen::all, prepared.order);
    round_in_order(w, scales.segment(first, count), prepared.factor, limit);
    codes.middleRows(first, count)(Eigen::all, prepared.order) = w;
  });
  const Vector errors = output_errors(scales.asDiagonal() * codes - weights, moment, threads);
  Rounded out{codes.topRows(rows), scale};
  for (Eigen::Index r = 0; r < rows; ++r) {
    Eigen::Index best = r;
    for (Eigen::Index i = r; i < errors.size(); i += rows)
      if (errors(i) < errors(best)) best = i;
    out.codes.row(r) = codes.row(best);
    out.scale(r) = scales(best);
  }
  return out;
}

}  // namespace wherry
