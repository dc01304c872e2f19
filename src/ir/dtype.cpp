#include "ir/dtype.h"

#include "base/check.h"

#include <array>

namespace wherry {

namespace {

struct Row {
  DType dtype;
  std::string_view name;
  int bits;
  enum Kind { floating, integer, natural, other } kind;
  DType carrier;
};

constexpr std::array rows = {
    Row{DType::float32, "float32", 32, Row::floating, DType::float32},
    Row{DType::float16, "float16", 16, Row::floating, DType::float16},
    Row{DType::bfloat16, "bfloat16", 16, Row::floating, DType::float32},
    Row{DType::float64, "float64", 64, Row::floating, DType::float64},
    Row{DType::int8, "int8", 8, Row::integer, DType::int8},
    Row{DType::uint8, "uint8", 8, Row::natural, DType::uint8},
    Row{DType::int16, "int16", 16, Row::integer, DType::int16},
    Row{DType::int32, "int32", 32, Row::integer, DType::int32},
    Row{DType::int64, "int64", 64, Row::integer, DType::int64},
    Row{DType::boolean, "bool", 8, Row::other, DType::boolean},
    Row{DType::complex64, "complex64", 64, Row::other, DType::complex64},
    Row{DType::complex128, "complex128", 128, Row::other, DType::complex128},
    Row{DType::float8_e4m3fn, "float8_e4m3fn", 8, Row::floating, DType::float32},
    Row{DType::float8_e5m2, "float8_e5m2", 8, Row::floating, DType::float32},
    Row{DType::uint16, "uint16", 16, Row::natural, DType::uint16},
    Row{DType::uint32, "uint32", 32, Row::natural, DType::uint32},
    Row{DType::uint64, "uint64", 64, Row::natural, DType::uint64},
    Row{DType::int4, "int4", 4, Row::integer, DType::int8},
    Row{DType::float8_e4m3fnuz, "float8_e4m3fnuz", 8, Row::floating, DType::float32},
    Row{DType::float8_e5m2fnuz, "float8_e5m2fnuz", 8, Row::floating, DType::float32},
    Row{DType::float8_e8m0fnu, "float8_e8m0fnu", 8, Row::floating, DType::float32},
    Row{DType::float4_e2m1fn, "float4_e2m1fn", 4, Row::floating, DType::float32},
    Row{DType::uint4, "uint4", 4, Row::natural, DType::uint8},
    Row{DType::int2, "int2", 2, Row::integer, DType::int8},
    Row{DType::uint2, "uint2", 2, Row::natural, DType::uint8},
};

constexpr auto dtypes = [] {
  std::array<DType, rows.size()> all{};
  for (std::size_t i = 0; i < rows.size(); ++i) all[i] = rows[i].dtype;
  return all;
}();

const Row& row(DType dtype) {
  const Row& r = rows[static_cast<std::size_t>(dtype)];
  WHERRY_CHECK(r.dtype == dtype, "dtype table out of order");
  return r;
}

}  // namespace

std::string_view name(DType dtype) { return row(dtype).name; }
std::span<const DType> all_dtypes() { return dtypes; }
std::size_t byte_size(DType dtype) { return static_cast<std::size_t>(row(dtype).bits + 7) / 8; }
int bits(DType dtype) { return row(dtype).bits; }
bool is_float(DType dtype) { return row(dtype).kind == Row::floating; }
bool is_integer(DType dtype) { return row(dtype).kind == Row::integer || row(dtype).kind == Row::natural; }
bool is_number(DType dtype) { return is_float(dtype) || is_integer(dtype) || dtype == DType::boolean; }
bool is_signed(DType dtype) { return row(dtype).kind == Row::integer; }
DType carrier(DType dtype) { return row(dtype).carrier; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (const Row& r : rows)
    if (r.name == text) return r.dtype;
  return std::nullopt;
}

}  // namespace wherry
