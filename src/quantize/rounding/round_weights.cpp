#include "quantize/rounding/round_weights.h"

#include "base/simd.h"
#include "ops/gemm.h"
#include "quantize/program.h"
#include "quantize/rounding/linear_algebra.h"

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

// Rows side by side, for the processor to take at once, in a block of columns.
struct Lanes {
  static constexpr Eigen::Index rows = 16, columns = 64;
  float weights[columns][rows], errors[columns][rows], scale[rows], loss[rows];
};

// Turns `count` columns from `first` on into codes, each error made up for by the columns behind it. U: [size, size].
void round_lanes(Lanes& x, const float* u, Eigen::Index size, Eigen::Index first, Eigen::Index count, float limit) {
  vectorised([&] {
    for (Eigen::Index j = 0; j < count; ++j) {
      const float* row = u + (first + j) * size + first;
      float *w = x.weights[j], *e = x.errors[j];
      for (Eigen::Index l = 0; l < Lanes::rows; ++l) {
        const float near = std::nearbyint(w[l] / x.scale[l]), code = near < -limit ? -limit : near > limit ? limit : near;
        e[l] = (w[l] - x.scale[l] * code) / row[j];
        w[l] = code;
        x.loss[l] += e[l] * e[l];
      }
      for (Eigen::Index k = j + 1; k < count; ++k)
        for (Eigen::Index l = 0; l < Lanes::rows; ++l) x.weights[k][l] -= e[l] * row[k];
    }
  });
}

// GPTQ of rows whose columns are in order, with U the upper Cholesky factor of the inverse moment: `w` becomes the codes. Adds each
// row's error in that moment to `loss`: the sum of what its columns leave to be made up for, squared.
void round_in_order(Matrix& w, const Eigen::Ref<const Vector>& scale, const Matrix& u, float limit, Eigen::Ref<Vector> loss) {
  const Eigen::Index d = w.cols(), rows = w.rows();
  Lanes lanes;
  for (Eigen::Index first = 0; first < d; first += Lanes::columns) {
    const Eigen::Index count = std::min(Lanes::columns, d - first), rest = d - first - count;
    Matrix errors(rest > 0 ? rows : 0, count);
    for (Eigen::Index row = 0; row < rows; row += Lanes::rows) {
      const Eigen::Index here = std::min(Lanes::rows, rows - row);
      for (Eigen::Index l = 0; l < Lanes::rows; ++l) {
        const Eigen::Index o = row + std::min(l, here - 1);  // the last again where none are left
        lanes.scale[l] = scale(o);
        lanes.loss[l] = 0;
        for (Eigen::Index j = 0; j < count; ++j) lanes.weights[j][l] = w(o, first + j);
      }
      round_lanes(lanes, u.data(), d, first, count, limit);
      for (Eigen::Index l = 0; l < here; ++l) {
        loss(row + l) += lanes.loss[l];
        for (Eigen::Index j = 0; j < count; ++j) {
          w(row + l, first + j) = lanes.weights[j][l];
          if (rest > 0) errors(row + l, j) = lanes.errors[j][l];
        }
      }
    }
    if (rest > 0) w.rightCols(rest) -= product(errors, u.block(first, first + count, count, rest));
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

float damping_of(const Matrix& moment) { return std::max(0.01F * moment.diagonal().mean(), 1e-12F); }

GptqMoment gptq_moment(const Matrix& moment) {
  const Eigen::Index d = moment.cols();
  GptqMoment out{.order = std::vector<Eigen::Index>(static_cast<std::size_t>(d)), .factor = {}};
  std::iota(out.order.begin(), out.order.end(), 0);
  std::ranges::stable_sort(out.order, [&](Eigen::Index a, Eigen::Index b) { return moment(a, a) > moment(b, b); });
  // Where inputs hardly vary around large means, what is left of the moment is rounding: more damping then.
  for (float damping = damping_of(moment);; damping *= 10) {
    out.factor = moment(out.order, out.order);
    out.factor.diagonal().array() += damping;
    inverse_factor(d, out.factor.data());
    if (out.factor.allFinite() || !std::isfinite(damping)) return out;
  }
}

Rounded round_gptq(const Matrix& weight, const Vector& scale, const GptqMoment& moment, float limit, double work, int threads) {
  const Eigen::Index rows = weight.rows();
  const auto once = static_cast<double>(moment.factor.size()) * static_cast<double>(rows);
  const auto tries = static_cast<Eigen::Index>(std::clamp(work / once, 1.0, 64.0));
  const float least = 1 - 2 / limit, most = 1.2F;  // clipping pays where steps are wide
  Vector scales(tries * rows), loss = Vector::Zero(tries * rows);
  for (Eigen::Index t = 0; t < tries; ++t)
    scales.segment(t * rows, rows) = scale * (t == 0 ? 1 : least + (most - least) * static_cast<float>(t) / static_cast<float>(tries));
  Matrix codes = weight.replicate(tries, 1)(Eigen::all, moment.order);
  by_rows(codes.rows(), threads, [&](Eigen::Index first, Eigen::Index count) {
    Matrix w = codes.middleRows(first, count);
    round_in_order(w, scales.segment(first, count), moment.factor, limit, loss.segment(first, count));
    codes.middleRows(first, count) = w;
  });
  Rounded out{Matrix(rows, weight.cols()), scale};
  for (Eigen::Index r = 0; r < rows; ++r) {
    Eigen::Index best = r;
    for (Eigen::Index i = r; i < loss.size(); i += rows)
      if (loss(i) < loss(best)) best = i;
    out.codes.row(r)(moment.order) = codes.row(best);
    out.scale(r) = scales(best);
  }
  return out;
}

}  // namespace wherry
