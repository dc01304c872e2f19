#include "ir/packed.h"

#include "base/check.h"

namespace wherry {

std::size_t stored_size(DType dtype, std::int64_t count) {
  return (static_cast<std::size_t>(count) * static_cast<std::size_t>(bits(dtype)) + 7) / 8;
}

std::string packed(const Tensor& tensor) {
  const int width = bits(tensor.dtype());
  const Tensor dense = tensor.contiguous();
  std::string out(stored_size(tensor.dtype(), tensor.count()), '\0');
  for (std::size_t i = 0; i < dense.bytes(); ++i) {
    const std::size_t bit = i * static_cast<std::size_t>(width);
    const int code = std::to_integer<int>(dense.data()[i]) & ((1 << width) - 1);
    out[bit / 8] = static_cast<char>(out[bit / 8] | code << bit % 8);
  }
  return out;
}

Tensor unpacked(std::span<const std::byte> bytes, DType dtype, const Sizes& sizes) {
  Tensor out = Tensor::allocate(dtype, sizes);
  WHERRY_CHECK(bytes.size() == stored_size(dtype, out.count()), "{} bytes for {}", bytes.size(), text(out.type()));
  const int width = bits(dtype), top = 1 << (width - 1);
  for (std::size_t i = 0; i < out.bytes(); ++i) {
    const std::size_t bit = i * static_cast<std::size_t>(width);
    const int code = std::to_integer<int>(bytes[bit / 8]) >> bit % 8 & ((1 << width) - 1);
    out.mutable_data()[i] = static_cast<std::byte>(is_signed(dtype) ? (code ^ top) - top : code);
  }
  return out;
}

}  // namespace wherry
