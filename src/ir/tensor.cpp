#include "ir/tensor.h"

#include "base/check.h"
#include "ir/narrow_float.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace wherry {

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  std::uint32_t exponent = (bits >> 10U) & 0x1FU;
  std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23U) | (mantissa << 13U));
}

std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16U) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);   // NaN
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // rounds to infinity
  if (magnitude < 0x38800000U) {                                                    // subnormal half: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 16777216.0F;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(scaled)));
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13U) & 1U);  // to nearest, ties to even
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13U));
}

namespace {

float bfloat_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }

std::uint16_t float_to_bfloat(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

// uint64 beyond int64's range comes as the same bits.
std::int64_t load_integer(DType dtype, const std::byte* at) {
  switch (dtype) {
    case DType::int8:
    case DType::int4:
    case DType::int2: return load<std::int8_t>(at);
    case DType::uint8:
    case DType::uint4:
    case DType::uint2: return load<std::uint8_t>(at);
    case DType::boolean: return load<std::uint8_t>(at) != 0 ? 1 : 0;
    case DType::int16: return load<std::int16_t>(at);
    case DType::uint16: return load<std::uint16_t>(at);
    case DType::int32: return load<std::int32_t>(at);
    case DType::uint32: return load<std::uint32_t>(at);
    case DType::int64:
    case DType::uint64: return load<std::int64_t>(at);
    default: break;
  }
  WHERRY_CHECK(false, "no integer in a {}", name(dtype));
  return 0;
}

// What does not fit loses its upper bits.
void store_integer(DType dtype, std::byte* at, std::int64_t value) {
  if (dtype == DType::boolean) return store(at, static_cast<std::uint8_t>(value != 0 ? 1 : 0));
  if (const int width = bits(dtype); width < 8) {
    const std::int64_t low = value & ((1 << width) - 1), top = std::int64_t{1} << (width - 1);
    return store(at, static_cast<std::int8_t>(is_signed(dtype) ? (low ^ top) - top : low));
  }
  switch (byte_size(dtype)) {
    case 1: return store(at, static_cast<std::int8_t>(value));
    case 2: return store(at, static_cast<std::int16_t>(value));
    case 4: return store(at, static_cast<std::int32_t>(value));
    default: return store(at, value);
  }
}

// Without what follows the point. Out of range it is what x86 and PyTorch give: the least of int32 or int64.
std::int64_t towards_zero(DType dtype, double value) {
  constexpr double two63 = 0x1p63;
  if (dtype == DType::uint64 && value >= two63 && value < 2 * two63) return static_cast<std::int64_t>(static_cast<std::uint64_t>(value));
  const bool wide = bits(dtype) == 64 || dtype == DType::uint32;
  const double limit = wide ? two63 : 0x1p31;
  if (value >= -limit && value < limit) return static_cast<std::int64_t>(value);
  return wide ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int32_t>::min();
}

double load_number(DType dtype, const std::byte* at) {
  if (dtype == DType::uint64) return static_cast<double>(load<std::uint64_t>(at));
  if (is_integer(dtype) || dtype == DType::boolean) return static_cast<double>(load_integer(dtype, at));
  if (is_narrow_float(dtype)) return narrow_to_number(dtype, load<std::uint8_t>(at));
  switch (dtype) {
    case DType::float32: return load<float>(at);
    case DType::float64: return load<double>(at);
    case DType::float16: return half_to_float(load<std::uint16_t>(at));
    case DType::bfloat16: return bfloat_to_float(load<std::uint16_t>(at));
    default: break;
  }
  WHERRY_CHECK(false, "no number in a {}", name(dtype));
  return 0;
}

void store_number(DType dtype, std::byte* at, double value) {
  if (dtype == DType::boolean) return store(at, static_cast<std::uint8_t>(value != 0 ? 1 : 0));
  if (is_integer(dtype)) return store_integer(dtype, at, towards_zero(dtype, value));
  if (is_narrow_float(dtype)) return store(at, number_to_narrow(dtype, value));
  switch (dtype) {
    case DType::float32: return store(at, static_cast<float>(value));
    case DType::float64: return store(at, value);
    case DType::float16: return store(at, float_to_half(static_cast<float>(value)));
    case DType::bfloat16: return store(at, float_to_bfloat(static_cast<float>(value)));
    default: break;
  }
  WHERRY_CHECK(false, "cannot store a number in a {}", name(dtype));
}

// Copies rows of equal element size; the innermost two axes are tiled so that a transpose reads and writes whole cache lines.
template <std::size_t Bytes>
void copy_strided(const std::byte* from, std::byte* to, const Sizes& sizes, const Sizes& strides, std::size_t axis, const Sizes& dense) {
  const std::size_t left = sizes.size() - axis;
  if (left == 0) {
    std::memcpy(to, from, Bytes);
    return;
  }
  const std::int64_t n = sizes[axis], step = strides[axis];
  if (left == 1) {
    if (step == 1) {
      std::memcpy(to, from, static_cast<std::size_t>(n) * Bytes);
    } else {
      for (std::int64_t i = 0; i < n; ++i)
        std::memcpy(to + i * static_cast<std::int64_t>(Bytes), from + i * step * static_cast<std::int64_t>(Bytes), Bytes);
    }
    return;
  }
  if (left == 2 && strides[axis + 1] != 1) {
    constexpr std::int64_t tile = 16;
    const std::int64_t m = sizes[axis + 1], inner = strides[axis + 1];
    for (std::int64_t i0 = 0; i0 < n; i0 += tile)
      for (std::int64_t j0 = 0; j0 < m; j0 += tile)
        for (std::int64_t i = i0; i < std::min(i0 + tile, n); ++i)
          for (std::int64_t j = j0; j < std::min(j0 + tile, m); ++j)
            std::memcpy(to + (i * m + j) * static_cast<std::int64_t>(Bytes),
                        from + (i * step + j * inner) * static_cast<std::int64_t>(Bytes), Bytes);
    return;
  }
  for (std::int64_t i = 0; i < n; ++i)
    copy_strided<Bytes>(from + i * step * static_cast<std::int64_t>(Bytes), to + i * dense[axis] * static_cast<std::int64_t>(Bytes), sizes,
                        strides, axis + 1, dense);
}

// Drops axes of size 1 and merges axes that lie one behind the other, so that the copy has as few loops as it needs.
void simplify(Sizes& sizes, Sizes& strides) {
  Sizes out_sizes, out_strides;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    if (!out_sizes.empty() && out_strides.back() == strides[i] * sizes[i]) {
      out_sizes.back() *= sizes[i];
      out_strides.back() = strides[i];
    } else {
      out_sizes.push_back(sizes[i]);
      out_strides.push_back(strides[i]);
    }
  }
  sizes = std::move(out_sizes), strides = std::move(out_strides);
}

}  // namespace

Tensor::Tensor(DType dtype, Sizes sizes, Sizes strides, const std::byte* base, std::shared_ptr<const void> owner)
    : dtype_(dtype), sizes_(std::move(sizes)), strides_(std::move(strides)), base_(base), owner_(std::move(owner)) {
  WHERRY_CHECK(sizes_.size() == strides_.size(), "a tensor needs a stride for each axis");
}

Tensor Tensor::uninitialised(DType dtype, Sizes sizes) {
  const std::size_t bytes = static_cast<std::size_t>(element_count(sizes)) * byte_size(dtype);
  std::shared_ptr<std::byte[]> memory(new (std::align_val_t(64)) std::byte[bytes + 64],  // 64 past the end: vector loads may overread
                                      [](std::byte* p) { operator delete[](p, std::align_val_t(64)); });
  std::byte* base = memory.get();
  Sizes strides = contiguous_strides(sizes);
  Tensor tensor(dtype, std::move(sizes), std::move(strides), base, std::move(memory));
  tensor.writable_ = base;
  return tensor;
}

Tensor Tensor::allocate(DType dtype, Sizes sizes) {
  Tensor tensor = uninitialised(dtype, std::move(sizes));
  std::memset(tensor.writable_, 0, tensor.bytes());
  return tensor;
}

Tensor Tensor::scalar(double value, DType dtype) {
  Tensor tensor = allocate(dtype, {});
  store_number(dtype, tensor.writable_, value);
  return tensor;
}

namespace {
template <class T>
constexpr bool fits(DType dtype) {
  if constexpr (std::is_same_v<T, float>) return dtype == DType::float32;
  if constexpr (std::is_same_v<T, double>) return dtype == DType::float64;
  if constexpr (std::is_same_v<T, std::int8_t>) return byte_size(dtype) == 1 && is_signed(dtype);
  if constexpr (std::is_same_v<T, std::uint8_t>)
    return byte_size(dtype) == 1 && (dtype == DType::boolean || (is_integer(dtype) && !is_signed(dtype)));
  if constexpr (std::is_same_v<T, std::int16_t>) return dtype == DType::int16;
  if constexpr (std::is_same_v<T, std::uint16_t>) return dtype == DType::uint16 || dtype == DType::float16 || dtype == DType::bfloat16;
  if constexpr (std::is_same_v<T, std::int32_t>) return dtype == DType::int32;
  if constexpr (std::is_same_v<T, std::int64_t>) return dtype == DType::int64;
  if constexpr (std::is_same_v<T, std::uint32_t>) return dtype == DType::uint32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return dtype == DType::uint64;
  return false;
}
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::float32;
  if constexpr (std::is_same_v<T, double>) return DType::float64;
  if constexpr (std::is_same_v<T, std::int8_t>) return DType::int8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::uint8;
  if constexpr (std::is_same_v<T, std::int16_t>) return DType::int16;
  if constexpr (std::is_same_v<T, std::uint16_t>) return DType::float16;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::int32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::int64;
  if constexpr (std::is_same_v<T, std::uint32_t>) return DType::uint32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return DType::uint64;
}
}  // namespace

template <typename T>
Tensor Tensor::from(const std::vector<T>& values, Sizes sizes) {
  Tensor tensor = allocate(dtype_of<T>(), std::move(sizes));
  WHERRY_CHECK(static_cast<std::int64_t>(values.size()) == tensor.count(), "{} values for {}", values.size(), wherry::text(tensor.type()));
  if (!values.empty()) std::memcpy(tensor.writable_, values.data(), values.size() * sizeof(T));
  return tensor;
}

bool Tensor::is_contiguous() const {
  std::int64_t step = 1;
  for (std::size_t i = sizes_.size(); i-- > 0;) {
    if (sizes_[i] != 1 && strides_[i] != step) return false;
    step *= sizes_[i];
  }
  return true;
}

const std::byte* Tensor::data() const {
  WHERRY_CHECK(is_contiguous(), "data() of a strided tensor");
  return base_;
}

template <typename T>
std::span<const T> Tensor::as() const {
  WHERRY_CHECK(fits<T>(dtype_), "a {} read as another type", name(dtype_));
  return {reinterpret_cast<const T*>(data()), static_cast<std::size_t>(count())};
}

template <typename T>
std::span<T> Tensor::mutable_as() {
  WHERRY_CHECK(writable_ && fits<T>(dtype_), "a {} that cannot be written as this type", name(dtype_));
  return {reinterpret_cast<T*>(writable_), static_cast<std::size_t>(count())};
}

std::byte* Tensor::mutable_data() {
  WHERRY_CHECK(writable_, "a tensor that cannot be written");
  return writable_;
}

std::span<std::byte> Tensor::mutable_bytes() {
  WHERRY_CHECK(writable_, "a {} that cannot be written", name(dtype_));
  return {writable_, bytes()};
}

#define WHERRY_TENSOR_OF(T)                                      \
  template Tensor Tensor::from<T>(const std::vector<T>&, Sizes); \
  template std::span<const T> Tensor::as<T>() const;             \
  template std::span<T> Tensor::mutable_as<T>();
WHERRY_TENSOR_OF(float)
WHERRY_TENSOR_OF(double)
WHERRY_TENSOR_OF(std::int8_t)
WHERRY_TENSOR_OF(std::uint8_t)
WHERRY_TENSOR_OF(std::int16_t)
WHERRY_TENSOR_OF(std::uint16_t)
WHERRY_TENSOR_OF(std::int32_t)
WHERRY_TENSOR_OF(std::int64_t)
WHERRY_TENSOR_OF(std::uint32_t)
WHERRY_TENSOR_OF(std::uint64_t)
#undef WHERRY_TENSOR_OF

Tensor Tensor::permuted(const std::vector<int>& axes) const {
  WHERRY_CHECK(static_cast<int>(axes.size()) == rank(), "permutation of {} axes for rank {}", axes.size(), rank());
  Tensor view = *this;
  view.writable_ = nullptr;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    view.sizes_[i] = sizes_[static_cast<std::size_t>(axes[i])];
    view.strides_[i] = strides_[static_cast<std::size_t>(axes[i])];
  }
  return view;
}

Tensor Tensor::narrowed(int axis, std::int64_t begin, std::int64_t count) const {
  const auto a = static_cast<std::size_t>(axis);
  WHERRY_CHECK(axis >= 0 && axis < rank() && begin >= 0 && count >= 0 && begin + count <= sizes_[a], "axis {}: {} from {} on", axis, count,
               begin);
  Tensor view = *this;
  view.writable_ = nullptr;
  view.sizes_[a] = count;
  view.base_ += begin * strides_[a] * static_cast<std::int64_t>(byte_size(dtype_));
  return view;
}

Tensor Tensor::reshaped(Sizes sizes) const {
  WHERRY_CHECK(element_count(sizes) == count(), "reshape of {} elements to {}", count(), element_count(sizes));
  Tensor view = contiguous();
  view.writable_ = nullptr;
  view.strides_ = contiguous_strides(sizes);
  view.sizes_ = std::move(sizes);
  return view;
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  Tensor dense = uninitialised(dtype_, sizes_);
  copy_to(dense.writable_);
  return dense;
}

void Tensor::copy_to(std::byte* out) const {
  if (count() == 0) return;
  Sizes sizes = sizes_, strides = strides_;
  simplify(sizes, strides);
  const Sizes dense = contiguous_strides(sizes);
  switch (byte_size(dtype_)) {
    case 1: return copy_strided<1>(base_, out, sizes, strides, 0, dense);
    case 2: return copy_strided<2>(base_, out, sizes, strides, 0, dense);
    case 4: return copy_strided<4>(base_, out, sizes, strides, 0, dense);
    case 8: return copy_strided<8>(base_, out, sizes, strides, 0, dense);
    default: return copy_strided<16>(base_, out, sizes, strides, 0, dense);
  }
}

Tensor Tensor::cast(DType dtype) const {
  const Tensor source = contiguous();
  if (dtype == dtype_) return source;
  Tensor result = allocate(dtype, sizes_);
  const std::size_t from = byte_size(dtype_), to = byte_size(dtype);
  const bool integers = !is_float(dtype_) && !is_float(dtype);  // these do not pass through a double
  for (std::int64_t i = 0; i < count(); ++i) {
    const std::byte* at = source.base_ + i * static_cast<std::int64_t>(from);
    std::byte* put = result.writable_ + i * static_cast<std::int64_t>(to);
    if (integers)
      store_integer(dtype, put, load_integer(dtype_, at));
    else
      store_number(dtype, put, load_number(dtype_, at));
  }
  return result;
}

const std::byte* Tensor::element(std::int64_t index) const {
  std::int64_t offset = 0;
  for (std::size_t i = sizes_.size(); i-- > 0;) offset += index % sizes_[i] * strides_[i], index /= sizes_[i];
  return base_ + offset * static_cast<std::int64_t>(byte_size(dtype_));
}

double Tensor::item(std::int64_t index) const { return load_number(dtype_, element(index)); }

std::int64_t Tensor::integer(std::int64_t index) const { return load_integer(dtype_, element(index)); }

std::vector<std::int64_t> Tensor::to_ints() const {
  WHERRY_CHECK(!is_float(dtype_), "integers of a {}", name(dtype_));
  const Tensor whole = cast(DType::int64);
  const auto values = whole.as<std::int64_t>();
  return {values.begin(), values.end()};
}

std::vector<float> Tensor::to_floats() const {
  const Tensor dense = cast(DType::float32);
  const auto values = dense.as<float>();
  return {values.begin(), values.end()};
}

bool Tensor::same_bits(const Tensor& other) const {
  if (dtype_ != other.dtype_ || sizes_ != other.sizes_) return false;
  const Tensor a = contiguous(), b = other.contiguous();
  return bytes() == 0 || std::memcmp(a.base_, b.base_, bytes()) == 0;
}

}  // namespace wherry
