#include "quantize/gram.h"

#include "base/simd.h"
#include "ops/gemm.h"

namespace wherry {

Moments::Moments(std::int64_t size)
    : sum_x(Eigen::VectorXd::Zero(size)), sum_f(Eigen::VectorXd::Zero(size)), xx(Matrix::Zero(size, size)), fx(Matrix::Zero(size, size)) {}

void Moments::add(std::span<const float> x, std::span<const float> f) {
  const std::int64_t size = sum_x.size(), rows = static_cast<std::int64_t>(x.size()) / size;
  const Eigen::Map<const Matrix> mx(x.data(), rows, size), mf(f.data(), rows, size);
  count += static_cast<double>(rows);
  sum_x += mx.colwise().sum().cast<double>().transpose();
  sum_f += mf.colwise().sum().cast<double>().transpose();
  Matrix product(size, size), transposed = mx.transpose();
  gemm(size, size, rows, transposed.data(), columns_of(x.data(), rows, size), nullptr, product.data());
  xx += product;
  transposed = mf.transpose();
  gemm(size, size, rows, transposed.data(), columns_of(x.data(), rows, size), nullptr, product.data());
  fx += product;
}

void Moments::add(const Moments& other) {
  count += other.count;
  sum_x += other.sum_x;
  sum_f += other.sum_f;
  xx += other.xx;
  fx += other.fx;
}

Matrix Moments::centred_xx() const { return (xx / static_cast<float>(count) - mean_x() * mean_x().transpose()).eval(); }
Matrix Moments::centred_fx() const { return (fx / static_cast<float>(count) - mean_f() * mean_x().transpose()).eval(); }

std::vector<Moments> channel_moments(std::span<const float> x, std::span<const float> f, std::int64_t size, std::int64_t channels) {
  const auto n = static_cast<std::size_t>(size), wide = static_cast<std::size_t>(channels);
  std::vector<float> xx(n * n * wide, 0), fx(n * n * wide, 0), sum_x(n * wide, 0), sum_f(n * wide, 0);
  const std::size_t rows = x.size() / (n * wide);
  vectorised([&] {
    for (std::size_t r = 0; r < rows; ++r) {
      const float *px = x.data() + r * n * wide, *pf = f.data() + r * n * wide;
      for (std::size_t i = 0; i < n * wide; ++i) sum_x[i] += px[i];
      for (std::size_t i = 0; i < n * wide; ++i) sum_f[i] += pf[i];
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          float *to_xx = xx.data() + (i * n + j) * wide, *to_fx = fx.data() + (i * n + j) * wide;
          const float *xi = px + i * wide, *fi = pf + i * wide, *xj = px + j * wide;
          if (j >= i)
            for (std::size_t c = 0; c < wide; ++c) to_xx[c] += xi[c] * xj[c];
          for (std::size_t c = 0; c < wide; ++c) to_fx[c] += fi[c] * xj[c];
        }
    }
  });
  std::vector<Moments> out;
  for (std::size_t c = 0; c < wide; ++c) {
    Moments& m = out.emplace_back(size);
    m.count = static_cast<double>(rows);
    for (std::size_t i = 0; i < n; ++i) {
      const auto row = static_cast<Eigen::Index>(i);
      m.sum_x(row) = static_cast<double>(sum_x[i * wide + c]);
      m.sum_f(row) = static_cast<double>(sum_f[i * wide + c]);
      for (std::size_t j = 0; j < n; ++j) {
        const auto column = static_cast<Eigen::Index>(j);
        m.xx(row, column) = xx[(std::min(i, j) * n + std::max(i, j)) * wide + c];
        m.fx(row, column) = fx[(i * n + j) * wide + c];
      }
    }
  }
  return out;
}

}  // namespace wherry
