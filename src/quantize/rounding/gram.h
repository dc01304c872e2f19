// Second moments of a layer's inputs, on both sides: what refitting and rounding need of the data.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <Eigen/Dense>

namespace wherry {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;

// Of paired rows: x the quantized side, f the float side.
struct Moments {
  double count = 0;
  Eigen::VectorXd sum_x, sum_f;
  Matrix xx, fx;  // Σ x xᵀ, Σ f xᵀ: not centred

  Moments() = default;
  explicit Moments(std::int64_t size);
  // `x`, `f`: [rows, size] each.
  void add(std::span<const float> x, std::span<const float> f);
  void add(const Moments& other);
  Matrix centred_xx() const;  // divided by count
  Matrix centred_fx() const;
  Vector mean_x() const { return (sum_x / count).cast<float>(); }
  Vector mean_f() const { return (sum_f / count).cast<float>(); }
};

// The same for each channel by itself: rows of [size, channels].
class ChannelMoments {
 public:
  ChannelMoments(std::int64_t size, std::int64_t channels);
  void add(std::span<const float> x, std::span<const float> f);
  std::vector<Moments> finish() const;  // by channel

 private:
  static constexpr std::size_t lanes = 16;  // channels side by side
  std::size_t size_, channels_, rows_ = 0;
  std::vector<float> xx_, fx_, sum_x_, sum_f_;  // [channels / lanes, size, size, lanes] (xx_ above its diagonal), [size, channels]
};

}  // namespace wherry
