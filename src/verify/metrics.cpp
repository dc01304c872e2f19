#include "verify/metrics.h"

#include "base/check.h"

#include <nlohmann/json.hpp>

#include <limits>

namespace wherry {

Metrics compare(const Tensor& reference, const Tensor& other) {
  WHERRY_CHECK(reference.sizes() == other.sizes(), "compare {} with {}", text(reference.type()), text(other.type()));
  const auto numbers = [](const Tensor& t) {
    return t.dtype() == DType::float64 || t.dtype() == DType::int64 ? t.cast(DType::float64) : t.cast(DType::float32);
  };
  const Tensor left = numbers(reference), right = numbers(other);
  const auto at = [](const Tensor& t, std::size_t i) {
    return t.dtype() == DType::float64 ? t.as<double>()[i] : static_cast<double>(t.as<float>()[i]);
  };
  Metrics m;
  double signal = 0, noise = 0, dot = 0, norm = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(left.count()); ++i) {
    const double a = at(left, i), b = at(right, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      if (!std::isfinite(a)) continue;
    } else if (!std::isfinite(a) || !std::isfinite(b)) {
      m.max_abs_error = std::numeric_limits<double>::infinity();
      continue;
    }
    m.max_abs_error = std::max(m.max_abs_error, std::abs(a - b));
    m.scale = std::max(m.scale, std::abs(a));
    signal += a * a, noise += (a - b) * (a - b), dot += a * b, norm += b * b;
  }
  m.sqnr_db = std::isinf(m.max_abs_error) ? -std::numeric_limits<double>::infinity()
              : noise == 0                ? std::numeric_limits<double>::infinity()
                                          : 10 * std::log10(signal / noise);
  m.cosine = signal == 0 && norm == 0 ? 1 : signal == 0 || norm == 0 ? 0 : dot / std::sqrt(signal * norm);
  return m;
}

Metrics worst(const Metrics& a, const Metrics& b) {
  return {std::max(a.max_abs_error, b.max_abs_error), std::max(a.scale, b.scale), std::min(a.sqnr_db, b.sqnr_db),
          std::min(a.cosine, b.cosine)};
}

nlohmann::ordered_json to_json(const Metrics& m) {
  const auto finite = [](double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(); };
  return {{"max_abs_error", finite(m.max_abs_error)},
          {"relative_error", finite(m.relative())},
          {"sqnr_db", finite(m.sqnr_db)},
          {"cosine", m.cosine}};
}

}  // namespace wherry
