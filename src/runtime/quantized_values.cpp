#include "runtime/quantized_values.h"

#include "base/check.h"

#include <limits>

namespace wherry {
namespace {

template <class F>
void with_integer(DType dtype, F f) {
  if (byte_size(dtype) == 1) return is_signed(dtype) ? f(std::int8_t{}) : f(std::uint8_t{});
  switch (dtype) {
    case DType::int16: return f(std::int16_t{});
    case DType::uint16: return f(std::uint16_t{});
    case DType::int32: return f(std::int32_t{});
    case DType::uint32: return f(std::uint32_t{});
    case DType::uint64: return f(std::uint64_t{});
    default: return f(std::int64_t{});
  }
}

}  // namespace

bool stands_for_reals(DType dtype, const std::optional<TflQuantization>& quantization) {
  return is_integer(dtype) && quantization && !quantization->scales.empty();
}

Tensor dequantize(const Tensor& integers, const TflQuantization& q) {
  WHERRY_CHECK(!q.scales.empty(), "dequantize without a scale");
  const Tensor flat = integers.contiguous();
  Tensor out = Tensor::allocate(DType::float32, flat.sizes());
  const Sizes& sizes = flat.sizes();
  std::int64_t inner = 1, slices = 1;  // element i lies in slice i / inner % slices
  if (q.scales.size() > 1 && q.axis >= 0 && static_cast<std::size_t>(q.axis) < sizes.size()) {
    const auto axis = static_cast<std::size_t>(q.axis);
    slices = sizes[axis];
    for (std::size_t i = axis + 1; i < sizes.size(); ++i) inner *= sizes[i];
  }
  with_integer(flat.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = reinterpret_cast<const T*>(flat.data());
    const auto to = out.mutable_as<float>();
    for (std::size_t i = 0; i < to.size(); ++i) {
      const auto slice = static_cast<std::size_t>(static_cast<std::int64_t>(i) / inner % slices);
      const std::int64_t zero_point = q.zero_points.empty() ? 0 : q.zero_points[std::min(slice, q.zero_points.size() - 1)];
      to[i] = static_cast<float>(static_cast<double>(q.scales[std::min(slice, q.scales.size() - 1)]) *
                                 static_cast<double>(static_cast<std::int64_t>(from[i]) - zero_point));
    }
  });
  return out;
}

Tensor quantize(const Tensor& reals, DType dtype, const TflQuantization& q) {
  WHERRY_CHECK(q.scales.size() == 1, "quantize wants one scale, found {}", q.scales.size());
  const Tensor flat = reals.cast(DType::float32);
  Tensor out = Tensor::allocate(dtype, flat.sizes());
  const double scale = q.scales[0];
  const double zero_point = q.zero_points.empty() ? 0 : static_cast<double>(q.zero_points[0]);
  with_integer(dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto from = flat.as<float>();
    T* to = reinterpret_cast<T*>(out.mutable_data());
    for (std::size_t i = 0; i < from.size(); ++i) {
      const double level = std::round(static_cast<double>(from[i]) / scale) + zero_point;
      const double least = std::numeric_limits<T>::min(), most = static_cast<double>(std::numeric_limits<T>::max());
      to[i] = level >= most ? std::numeric_limits<T>::max() : level >= least ? static_cast<T>(level) : std::numeric_limits<T>::min();
    }
  });
  return out;
}

namespace {

// An operator that takes an int8 weight beside float activations.
bool computes_on_bytes(const TflGraph& graph) {
  const auto dtype = [&](int id) { return id < 0 ? DType::boolean : graph.tensors[static_cast<std::size_t>(id)].dtype; };
  return std::ranges::any_of(graph.nodes, [&](const TflNode& node) {
    return node.inputs.size() > 1 && dtype(node.inputs[0]) == DType::float32 && dtype(node.inputs[1]) == DType::int8;
  });
}

}  // namespace

std::string precision_of(const TflGraph& graph) {
  bool int8 = false, int16 = false, weight8 = false, weight4 = false, half = false;
  for (const TflTensor& tensor : graph.tensors) {
    half = half || (tensor.constant && tensor.dtype == DType::float16);
    weight4 = weight4 || (tensor.constant && tensor.dtype == DType::int4);
    if (!stands_for_reals(tensor.dtype, tensor.quantization)) continue;
    const bool is_byte = tensor.dtype == DType::int8 || tensor.dtype == DType::uint8;
    if (tensor.constant)
      weight8 = weight8 || is_byte;
    else
      int8 = int8 || is_byte, int16 = int16 || tensor.dtype == DType::int16;
  }
  if (int8) return "int8";
  if (int16) return "int16x8";
  if (weight4) return "int4";
  if (weight8) return computes_on_bytes(graph) ? "dynamic" : "int8-weights";
  return half ? "float16" : "float32";
}

}  // namespace wherry
