// Elements as files hold them: those of less than a byte several a byte, the first in its lowest bits.
#pragma once

#include "ir/tensor.h"

#include <string>

namespace wherry {

inline bool is_packed(DType dtype) { return bits(dtype) < 8; }
std::size_t stored_size(DType dtype, std::int64_t count);  // bytes in a file
std::string packed(const Tensor& tensor);                  // Needs: is_packed
Tensor unpacked(std::span<const std::byte> bytes, DType dtype, const Sizes& sizes);

}  // namespace wherry
