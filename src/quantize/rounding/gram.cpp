#include "quantize/rounding/gram.h"

#include "base/simd.h"
#include "ops/gemm.h"

#include <cstring>

namespace wherry {

Moments::Moments(std::int64_t size)
    : sum_x(Eigen::VectorXd::Zero(size)), sum_f(Eigen::VectorXd::Zero(size)), xx(Matrix::Zero(size, size)), fx(Matrix::Zero(size, size)) {}

void Moments::add(std::span<const float> x, std::span<const float> f) {
  const std::int64_t size = sum_x.size(), rows = static_cast<std::int64_t>(x.size()) / size;
  const Eigen::Map<const Matrix> mx(x.data(), rows, size), mf(f.data(), rows, size);
  count += static_cast<double>(rows);
  sum_x += mx.colwise().sum().cast<double>().transpose();
  sum_f += mf.colwise().sum().cast<double>().transpose();
  Matrix product(size, size);
  gram(size, rows, x.data(), product.data());
  xx += product;
  gemm_of_transposed(size, size, rows, f.data(), x.data(), product.data());
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

namespace {

constexpr std::size_t rows_at_once = 16, wide = 16;  // of a block: x, f and a row of sums stay in the first-level cache

// sums[j] += Σ_r a[r] · b[r, j] for j in [first, size), channel by channel; `b` is [rows, size, wide], `a` one of its columns.
template <std::size_t tile>
[[gnu::always_inline]] inline void add_products(std::size_t rows, std::size_t step, const float* a, const float* b, float* sums) {
  float kept[tile][wide];
  for (std::size_t t = 0; t < tile; ++t)
    for (std::size_t c = 0; c < wide; ++c) kept[t][c] = sums[t * wide + c];
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t t = 0; t < tile; ++t)
      for (std::size_t c = 0; c < wide; ++c) kept[t][c] += a[r * step + c] * b[r * step + t * wide + c];
  for (std::size_t t = 0; t < tile; ++t)
    for (std::size_t c = 0; c < wide; ++c) sums[t * wide + c] = kept[t][c];
}

// The first `wide` of `left` numbers, every `step`, side by side.
void take_lanes(const float* from, std::size_t rows, std::size_t step, std::size_t left, float* to) {
  for (std::size_t r = 0; r < rows; ++r, from += step, to += wide)
    if (left >= wide)
      std::memcpy(to, from, wide * sizeof(float));
    else
      std::memcpy(to, from, left * sizeof(float));
}

[[gnu::always_inline]] inline void add_row(std::size_t rows, std::size_t size, std::size_t first, const float* a, const float* b,
                                           float* sums) {
  constexpr std::size_t tile = 5;
  std::size_t j = first;
  for (; j + tile <= size; j += tile) add_products<tile>(rows, size * wide, a, b + j * wide, sums + j * wide);
  for (; j < size; ++j) add_products<1>(rows, size * wide, a, b + j * wide, sums + j * wide);
}

}  // namespace

ChannelMoments::ChannelMoments(std::int64_t size, std::int64_t channels)
    : size_(static_cast<std::size_t>(size)),
      channels_(static_cast<std::size_t>(channels)),
      xx_(size_ * size_ * ((channels_ + lanes - 1) / lanes) * lanes, 0),
      fx_(xx_.size(), 0),
      sum_x_(size_ * channels_, 0),
      sum_f_(sum_x_.size(), 0) {}

void ChannelMoments::add(std::span<const float> x, std::span<const float> f) {
  static_assert(lanes == wide);
  const std::size_t n = size_, row = n * channels_, rows = x.size() / row;
  std::vector<float> block_x(rows_at_once * n * lanes, 0), block_f(block_x.size(), 0);
  for (std::size_t first = 0; first < rows; first += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, rows - first);
    const float *px = x.data() + first * row, *pf = f.data() + first * row;
    vectorised([&] {
      for (std::size_t r = 0; r < count; ++r)
        for (std::size_t i = 0; i < row; ++i) sum_x_[i] += px[r * row + i], sum_f_[i] += pf[r * row + i];
    });
    for (std::size_t c = 0; c < channels_; c += lanes) {
      take_lanes(px + c, count * n, channels_, channels_ - c, block_x.data());
      take_lanes(pf + c, count * n, channels_, channels_ - c, block_f.data());
      float *to_xx = xx_.data() + c * n * n, *to_fx = fx_.data() + c * n * n;
      vectorised([&] {
        for (std::size_t i = 0; i < n; ++i) {
          add_row(count, n, i, block_x.data() + i * lanes, block_x.data(), to_xx + i * n * lanes);
          add_row(count, n, 0, block_f.data() + i * lanes, block_x.data(), to_fx + i * n * lanes);
        }
      });
    }
  }
  rows_ += rows;
}

std::vector<Moments> ChannelMoments::finish() const {
  std::vector<Moments> out;
  for (std::size_t c = 0; c < channels_; ++c) {
    Moments& m = out.emplace_back(static_cast<std::int64_t>(size_));
    m.count = static_cast<double>(rows_);
    const std::size_t block = c / lanes * lanes * size_ * size_ + c % lanes;
    const auto at = [&](std::size_t i, std::size_t j) { return block + (i * size_ + j) * lanes; };
    for (std::size_t i = 0; i < size_; ++i) {
      const auto row = static_cast<Eigen::Index>(i);
      m.sum_x(row) = static_cast<double>(sum_x_[i * channels_ + c]);
      m.sum_f(row) = static_cast<double>(sum_f_[i * channels_ + c]);
      for (std::size_t j = 0; j < size_; ++j) {
        const auto column = static_cast<Eigen::Index>(j);
        m.xx(row, column) = xx_[at(std::min(i, j), std::max(i, j))];
        m.fx(row, column) = fx_[at(i, j)];
      }
    }
  }
  return out;
}

}  // namespace wherry
