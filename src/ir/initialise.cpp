#include "ir/initialise.h"

#include <algorithm>
#include <cmath>

namespace wherry {

namespace {

// SplitMix64's output function: each counter value gives an independent number.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::uint64_t stream_of(std::uint64_t seed, std::string_view key) {
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return mixed(hash ^ mixed(seed));
}

Tensor filled(const Sizes& shape, float value) {
  Tensor tensor = Tensor::allocate(DType::float32, shape);
  std::ranges::fill(tensor.mutable_as<float>(), value);
  return tensor;
}

bool is_norm(const OpDef& op) { return op.name.find("norm") != std::string_view::npos; }

}  // namespace

Tensor uniform(const Type& type, double bound, std::uint64_t seed, std::string_view key) {
  const bool drawn =
      type.dtype == DType::float32 || type.dtype == DType::float64 || type.dtype == DType::float16 || type.dtype == DType::bfloat16;
  if (!drawn) return Tensor::allocate(type.dtype, sizes(type.shape));
  Tensor tensor = Tensor::allocate(DType::float32, sizes(type.shape));
  const std::uint64_t stream = stream_of(seed, key);
  std::uint64_t counter = 0;
  for (float& x : tensor.mutable_as<float>()) {
    const double unit = static_cast<double>(mixed(stream + counter++) >> 40U) / 16777216.0;  // 24 bits: exact in a float
    x = static_cast<float>(bound * (2 * unit - 1));
  }
  return type.dtype == DType::float32 ? tensor : tensor.cast(type.dtype);
}

Tensor initialise(const OpDef& op, std::string_view parameter, const Sizes& shape, const Sizes& first, std::uint64_t seed,
                  std::string_view key) {
  if (parameter == "running_var") return filled(shape, 1);
  if (parameter == "running_mean") return filled(shape, 0);
  if (is_norm(op)) return filled(shape, parameter == "weight" ? 1 : 0);
  if (op.name == "prelu") return filled(shape, 0.25F);
  std::int64_t fan_in = 1;
  for (std::size_t i = 1; i < first.size(); ++i) fan_in *= first[i];
  return uniform({DType::float32, to_shape(shape)}, 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(fan_in, 1))), seed, key);
}

}  // namespace wherry
