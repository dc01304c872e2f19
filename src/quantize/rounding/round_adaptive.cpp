#include "quantize/rounding/round_weights.h"

#include <cmath>

namespace wherry {

namespace {

// The soft rounding of AdaRound, h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1), and its regularizer 1 - |2h - 1|^beta, by V: beyond
// +-2.4 h is 0 or 1 and nothing moves, so that a table serves all elements.
struct SoftTable {
  static constexpr int size = 4096;
  static constexpr float reach = 3;
  float h[size], slope[size], pull[size];  // h, dh/dV, d(regularizer)/dV
  explicit SoftTable() {
    for (int i = 0; i < size; ++i) {
      const float v = reach * (2 * (static_cast<float>(i) + 0.5F) / size - 1), sigmoid = 1 / (1 + std::exp(-v));
      const float stretched = 1.2F * sigmoid - 0.1F;
      h[i] = std::clamp(stretched, 0.0F, 1.0F);
      slope[i] = stretched > 0 && stretched < 1 ? 1.2F * sigmoid * (1 - sigmoid) : 0;
    }
  }
  void anneal(float strength, float beta) {
    for (int i = 0; i < size; ++i) {
      const float u = 2 * h[i] - 1;
      pull[i] = -strength * 2 * beta * std::copysign(std::pow(std::abs(u), beta - 1), u) * slope[i];
    }
  }
  static int place(float v) { return static_cast<int>(std::clamp((v + reach) * (size / (2 * reach)), 0.0F, size - 1.0F)); }
};

// AdaRound (arXiv 2004.10568) with the layer's quadratic loss tr(D M D^T), D in steps of the row's scale and M of mean diagonal one:
// each gradient is one matrix product, whatever the number of images.
class SoftRounding {
 public:
  SoftRounding(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit, int threads)
      : threads_(threads),
        target_(scale.cwiseInverse().asDiagonal() * weight),
        moment_(moment / std::max(moment.diagonal().mean(), 1e-20F)) {
    floor_ = target_.array().floor().max(-limit).min(limit - 1).matrix();
    position_ = (target_ - floor_).unaryExpr([](float part) {
      const float p = (std::clamp(part, 0.0F, 1.0F) + 0.1F) / 1.2F;
      return std::log(p / (1 - p));
    });
    first_ = Matrix::Zero(weight.rows(), weight.cols());
    second_ = first_;
  }

  Matrix run() {
    constexpr int iterations = 400, warm = iterations / 5;
    for (int t = 0; t < iterations; ++t) {
      const float along = static_cast<float>(std::max(t - warm, 0)) / static_cast<float>(iterations - warm);
      const float beta = 2 + 9 * (1 + std::cos(3.14159265F * along));  // 20 to 2
      table_.anneal(t < warm ? 0 : 0.3F, beta);
      step(t + 1);
    }
    return floor_ + soft().array().round().matrix();
  }

 private:
  Matrix soft() const {
    return position_.unaryExpr([&](float v) { return table_.h[SoftTable::place(v)]; });
  }
  void step(int t) {
    const Matrix d = floor_ + soft() - target_;
    const Matrix gradient = product(d, moment_, threads_);
    constexpr float rate = 0.05F, keep1 = 0.9F, keep2 = 0.999F;
    const float fix1 = 1 / (1 - std::pow(keep1, static_cast<float>(t))), fix2 = 1 / (1 - std::pow(keep2, static_cast<float>(t)));
    float *v = position_.data(), *m1 = first_.data(), *m2 = second_.data();
    const float* g = gradient.data();
    for (Eigen::Index i = 0; i < position_.size(); ++i) {
      const int at = SoftTable::place(v[i]);
      const float slope = 2 * g[i] * table_.slope[at] + table_.pull[at];
      m1[i] = keep1 * m1[i] + (1 - keep1) * slope;
      m2[i] = keep2 * m2[i] + (1 - keep2) * slope * slope;
      v[i] -= rate * m1[i] * fix1 / (std::sqrt(m2[i] * fix2) + 1e-8F);
    }
  }

  int threads_;
  Matrix target_, moment_, floor_, position_, first_, second_;
  SoftTable table_;
};

// Each weight takes the better of its neighbouring codes, given all others, until none changes.
Matrix descended(const Matrix& weight, const Vector& scale, const Matrix& moment, Matrix codes, float limit, int threads) {
  const Matrix difference = scale.asDiagonal() * codes - weight;
  Matrix gradients = product(difference, moment, threads);
  for (Eigen::Index o = 0; o < weight.rows(); ++o) {
    const float s = scale(o);
    auto gradient = gradients.row(o);
    for (int sweep = 0; sweep < 20; ++sweep) {
      bool changed = false;
      for (Eigen::Index i = 0; i < weight.cols(); ++i) {
        const float delta = gradient(i) > 0 ? -s : s, code = codes(o, i) + std::copysign(1.0F, delta);
        if (std::abs(code) > limit) continue;
        if (2 * delta * gradient(i) + delta * delta * moment(i, i) >= -1e-6F * moment(i, i) * s * s) continue;
        codes(o, i) = code;
        gradient += delta * moment.row(i);
        changed = true;
      }
      if (!changed) break;
    }
  }
  return codes;
}

}  // namespace

Rounded round_adaptive(const Matrix& weight, const Rounded& gptq, const Matrix& moment, float limit, int threads) {
  Matrix damped = moment;
  damped.diagonal().array() += damping_of(moment);
  const Vector& scale = gptq.scale;
  const Matrix trained = SoftRounding(weight, scale, damped, limit, threads).run();
  const Matrix soft = descended(weight, scale, damped, trained, limit, threads);
  const Matrix greedy = descended(weight, scale, damped, gptq.codes, limit, threads);
  const auto errors = [&](const Matrix& codes) { return output_errors(scale.asDiagonal() * codes - weight, damped, threads); };
  const Vector soft_errors = errors(soft), greedy_errors = errors(greedy);
  Rounded out{soft, scale};
  for (Eigen::Index o = 0; o < weight.rows(); ++o)
    if (greedy_errors(o) < soft_errors(o)) out.codes.row(o) = greedy.row(o);
  return out;
}

}  // namespace wherry
