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

ChannelMoments::ChannelMoments(std::int64_t size, std::int64_t channels)
    : size_(static_cast<std::size_t>(size)),
      channels_(static_cast<std::size_t>(channels)),
      xx_(size_ * size_ * channels_, 0),
      fx_(xx_.size(), 0),
      sum_x_(size_ * channels_, 0),
      sum_f_(sum_x_.size(), 0) {}

void ChannelMoments::add(std::span<const float> x, std::span<const float> f) {
  const std::size_t n = size_, wide = channels_, row = n * wide, rows = x.size() / row;
  vectorised([&] {
    for (std::size_t r = 0; r < rows; ++r) {
      const float *px = x.data() + r * row, *pf = f.data() + r * row;
      for (std::size_t i = 0; i < row; ++i) sum_x_[i] += px[i];
      for (std::size_t i = 0; i < row; ++i) sum_f_[i] += pf[i];
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          float *to_xx = xx_.data() + (i * n + j) * wide, *to_fx = fx_.data() + (i * n + j) * wide;
          const float *xi = px + i * wide, *fi = pf + i * wide, *xj = px + j * wide;
          if (j >= i)
            for (std::size_t c = 0; c < wide; ++c) to_xx[c] += xi[c] * xj[c];
          for (std::size_t c = 0; c < wide; ++c) to_fx[c] += fi[c] * xj[c];
        }
    }
  });
  rows_ += rows;
}

std::vector<Moments> ChannelMoments::finish() const {
  std::vector<Moments> out;
  for (std::size_t c = 0; c < channels_; ++c) {
    Moments& m = out.emplace_back(static_cast<std::int64_t>(size_));
    m.count = static_cast<double>(rows_);
    for (std::size_t i = 0; i < size_; ++i) {
      const auto row = static_cast<Eigen::Index>(i);
      m.sum_x(row) = static_cast<double>(sum_x_[i * channels_ + c]);
      m.sum_f(row) = static_cast<double>(sum_f_[i * channels_ + c]);
      for (std::size_t j = 0; j < size_; ++j) {
        const auto column = static_cast<Eigen::Index>(j);
        m.xx(row, column) = xx_[(std::min(i, j) * size_ + std::max(i, j)) * channels_ + c];
        m.fx(row, column) = fx_[(i * size_ + j) * channels_ + c];
      }
    }
  }
  return out;
}

}  // namespace wherry
