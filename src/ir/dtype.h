// Element types, by the names PyTorch gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace wherry {

// clang-format off
enum class DType : std::uint8_t {
  float32, float16, bfloat16, float64, int8, uint8, int16, int32, int64, boolean, complex64, complex128, float8_e4m3fn, float8_e5m2,
  uint16, uint32, uint64, int4, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu, float4_e2m1fn, uint4, int2, uint2,
};
// clang-format on

std::string_view name(DType dtype);                  // "float32", "bool", …
std::optional<DType> parse_dtype(std::string_view);  // the inverse
std::span<const DType> all_dtypes();                 // as the enumeration has them
std::size_t byte_size(DType dtype);                  // of one element; those of less than 8 bits count as 1, where they are unpacked
int bits(DType dtype);                               // of one element where they are packed
bool is_float(DType dtype);                          // float16, bfloat16, float32, float64, float8_*, float4_*
bool is_integer(DType dtype);                        // without bool
bool is_number(DType dtype);                         // floats, integers and bool: what arithmetic is known for
bool is_signed(DType dtype);                         // of an integer: whether it can be negative
DType carrier(DType dtype);                          // the type in which NumPy holds it: itself, or one that holds all its numbers

}  // namespace wherry
