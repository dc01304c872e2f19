#include "quantize/gram.h"

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

}  // namespace wherry
