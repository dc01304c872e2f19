// A constant's elements: a strided view into memory that somebody owns (a mapped file, or a vector made by a pass).
#pragma once

#include "ir/type.h"

#include <functional>
#include <memory>
#include <span>

namespace wherry {

class Tensor {
 public:
  Tensor() = default;
  // A view. `offset` and `strides` count elements; `owner` keeps `base` alive.
  Tensor(DType dtype, Sizes sizes, Sizes strides, const std::byte* base, std::shared_ptr<const void> owner);
  static Tensor allocate(DType dtype, Sizes sizes);       // zeroed, contiguous, writable through mutable_data()
  static Tensor uninitialised(DType dtype, Sizes sizes);  // the same, its elements still to be written
  static Tensor scalar(double value, DType dtype = DType::float32);
  template <typename T>
  static Tensor from(const std::vector<T>& values, Sizes sizes);  // float, double, integers, bool-as-uint8

  DType dtype() const { return dtype_; }
  const Sizes& sizes() const { return sizes_; }
  const Sizes& strides() const { return strides_; }
  int rank() const { return static_cast<int>(sizes_.size()); }
  std::int64_t count() const { return element_count(sizes_); }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * byte_size(dtype_); }
  Type type() const { return {dtype_, to_shape(sizes_)}; }
  bool is_contiguous() const;

  // The elements in row-major order. Needs: is_contiguous().
  const std::byte* data() const;
  template <typename T>
  std::span<const T> as() const;  // Needs: contiguous, and T is dtype()
  template <typename T>
  std::span<T> mutable_as();             // Needs: made by allocate() and not yet shared
  std::span<std::byte> mutable_bytes();  // the same, whatever the data type
  std::byte* mutable_data();             // the same for any type

  Tensor permuted(const std::vector<int>& axes) const;                      // a view; result axis i is this axis axes[i]
  Tensor narrowed(int axis, std::int64_t begin, std::int64_t count) const;  // a view of `count` indices of an axis, as torch.narrow
  Tensor reshaped(Sizes sizes) const;                                       // a view where contiguous, else a copy
  Tensor contiguous() const;                                                // itself, or a copy in row-major order
  Tensor cast(DType dtype) const;                                           // contiguous; narrower floats round to nearest even
  void copy_to(std::byte* out) const;                                       // row-major order; the fast path of every exporter
  double item(std::int64_t row_major_index = 0) const;                      // one element as a double
  std::int64_t integer(std::int64_t row_major_index = 0) const;             // the same of an integer or bool dtype, exactly
  std::vector<std::int64_t> to_ints() const;                                // all elements; Needs: integer or bool dtype
  std::vector<float> to_floats() const;
  bool same_bits(const Tensor& other) const;  // dtype, sizes and every bit
  const void* storage() const { return base_; }

 private:
  const std::byte* element(std::int64_t row_major_index) const;
  DType dtype_ = DType::float32;
  Sizes sizes_, strides_;
  const std::byte* base_ = nullptr;
  std::byte* writable_ = nullptr;
  std::shared_ptr<const void> owner_;
};

float half_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);

}  // namespace wherry
