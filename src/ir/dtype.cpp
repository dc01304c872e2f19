#include "ir/dtype.h"

#include "base/check.h"

#include <array>

namespace wherry {

namespace {

struct Row {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
  enum Kind { floating, integer, other } kind;
};

constexpr std::array rows = {
    Row{DType::float32, "float32", 4, Row::floating},
    Row{DType::float16, "float16", 2, Row::floating},
    Row{DType::bfloat16, "bfloat16", 2, Row::floating},
    Row{DType::float64, "float64", 8, Row::floating},
    Row{DType::int8, "int8", 1, Row::integer},
    Row{DType::uint8, "uint8", 1, Row::integer},
    Row{DType::int16, "int16", 2, Row::integer},
    Row{DType::int32, "int32", 4, Row::integer},
    Row{DType::int64, "int64", 8, Row::integer},
    Row{DType::boolean, "bool", 1, Row::other},
    Row{DType::complex64, "complex64", 8, Row::other},
    Row{DType::complex128, "complex128", 16, Row::other},
    Row{DType::float8_e4m3fn, "float8_e4m3fn", 1, Row::floating},
    Row{DType::float8_e5m2, "float8_e5m2", 1, Row::floating},
    Row{DType::uint16, "uint16", 2, Row::integer},
    Row{DType::uint32, "uint32", 4, Row::integer},
    Row{DType::uint64, "uint64", 8, Row::integer},
    Row{DType::int4, "int4", 1, Row::integer},
};

const Row& row(DType dtype) {
  const Row& r = rows[static_cast<std::size_t>(dtype)];
  WHERRY_CHECK(r.dtype == dtype, "dtype table out of order");
  return r;
}

}  // namespace

std::string_view name(DType dtype) { return row(dtype).name; }
std::size_t byte_size(DType dtype) { return row(dtype).bytes; }
bool is_float(DType dtype) { return row(dtype).kind == Row::floating; }
bool is_integer(DType dtype) { return row(dtype).kind == Row::integer; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (const Row& r : rows)
    if (r.name == text) return r.dtype;
  return std::nullopt;
}

}  // namespace wherry
