#include "ir/constants.h"

#include <fmt/format.h>

#include <cmath>

namespace wherry {

namespace {

// Row-major elements of nested lists.
class Reader {
 public:
  Floats numbers;
  Ints integers;  // the same, exact, while all are integers
  bool all_integers = true, all_flags = true;
  std::string problem;

  void read(const TextValue& value, std::size_t axis) {
    if (value.kind != TextValue::list) return scalar(value);
    if (axis == sizes.size()) sizes.push_back(static_cast<std::int64_t>(value.items.size()));
    const bool ragged = sizes[axis] != static_cast<std::int64_t>(value.items.size());
    if (ragged && problem.empty()) problem = "its rows differ in length";
    for (const TextValue& item : value.items) {
      const bool mixed = (item.kind == TextValue::list) != (value.items[0].kind == TextValue::list);
      if (mixed && problem.empty()) problem = "numbers and lists stand beside each other";
      read(item, axis + 1);
    }
  }
  Sizes sizes;

 private:
  void scalar(const TextValue& v) {
    all_flags &= v.kind == TextValue::boolean;
    all_integers &= v.kind == TextValue::integer;
    switch (v.kind) {
      case TextValue::boolean: numbers.push_back(v.boolean_value ? 1 : 0); break;
      case TextValue::integer: numbers.push_back(static_cast<double>(v.integer_value)); break;
      case TextValue::number: numbers.push_back(v.number_value); break;
      default: problem = "it holds something that is not a number";
    }
    integers.push_back(v.integer_value);
  }
};

bool holds(DType dtype, double value) {
  if (is_float(dtype)) return true;
  if (dtype == DType::boolean) return value == 0 || value == 1;
  if (bits(dtype) == 64) return std::abs(value) < 9.3e18 && (is_signed(dtype) || value >= 0);
  const double top = std::ldexp(1.0, bits(dtype) - (is_signed(dtype) ? 1 : 0));
  return value == std::floor(value) && value < top && value >= (is_signed(dtype) ? -top : 0);
}

}  // namespace

ConstantText parse_constant(const TextValue& value, std::optional<DType> dtype) {
  Reader reader;
  reader.read(value, 0);
  if (!reader.problem.empty()) return {{}, reader.problem};
  const bool flags = reader.all_flags && !reader.numbers.empty(), integers = reader.all_integers && !reader.numbers.empty();
  const DType type = dtype.value_or(flags ? DType::boolean : integers ? DType::int64 : DType::float32);
  if (!is_number(type)) return {{}, fmt::format("a {} constant cannot be written in the text", name(type))};
  for (const double number : reader.numbers)
    if (!holds(type, number)) return {{}, fmt::format("{} does not fit {}", text(Attr(number)), name(type))};
  if (is_integer(type) && integers) return {Tensor::from(reader.integers, reader.sizes).cast(type), {}};
  return {Tensor::from(reader.numbers, reader.sizes).cast(type), {}};
}

DType number_type(const TextValue& number, std::optional<DType> first_tensor) {
  const bool integer = number.kind == TextValue::integer;
  if (first_tensor && *first_tensor != DType::boolean && (integer || is_float(*first_tensor))) return *first_tensor;
  return integer && !first_tensor ? DType::int64 : DType::float32;
}

}  // namespace wherry
