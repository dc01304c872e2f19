// Element types, by the names PyTorch gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wherry {

enum class DType : std::uint8_t {
  float32, float16, bfloat16, float64, int8, uint8, int16, int32, int64, boolean, complex64, complex128, float8_e4m3fn, float8_e5m2,
  uint16, uint32, uint64, int4,
};

std::string_view name(DType dtype);                    // "float32", "bool", …
std::optional<DType> parse_dtype(std::string_view);    // the inverse
std::size_t byte_size(DType dtype);                    // of one element; int4 counts as 1 where it is unpacked
bool is_float(DType dtype);                            // float16, bfloat16, float32, float64, float8_*
bool is_integer(DType dtype);                          // without bool

}  // namespace wherry
