#include "ops/integers_64.h"

#include "ops/lowering.h"

#include <initializer_list>
#include <limits>

namespace wherry::tfl {

namespace {

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

// Nodes over tensors that broadcast.
class Steps {
 public:
  explicit Steps(TflLowering& t) : t_(t) {}

  int number(std::int64_t value, DType dtype = DType::int64) { return t_.constant(Tensor::from<std::int64_t>({value}, {}).cast(dtype)); }
  int cast(int x, DType dtype) { return t_.add("CAST", {x}, {dtype, joined({x})}); }
  int add(int x, int y) { return binary(t_, "ADD", x, y, {DType::int64, joined({x, y})}); }
  int sub(int x, int y) { return binary(t_, "SUB", x, y, {DType::int64, joined({x, y})}); }
  int mul(int x, int y) { return binary(t_, "MUL", x, y, {DType::int64, joined({x, y})}); }
  int quotient(int x, int y) { return binary(t_, "DIV", x, y, {DType::float32, joined({x, y})}); }
  int negative(int x) { return t_.add("NEG", {x}, {DType::int64, joined({x})}); }
  int whole(std::string_view builtin, int x, int y) { return t_.add(builtin, {x, y}, {t_.tensor(x).dtype, joined({x, y})}); }
  int is(std::string_view comparison, int x, int y) { return t_.add(comparison, {x, y}, {DType::boolean, joined({x, y})}); }
  int where(int condition, int x, int y) { return t_.add("SELECT_V2", {condition, x, y}, {DType::int64, joined({condition, x, y})}); }
  // Of the same bits without a sign: in their order once the upper bit is turned.
  int is_unsigned(std::string_view comparison, int x, int y) { return is(comparison, sub(x, number(least)), sub(y, number(least))); }

 private:
  Shape joined(std::initializer_list<int> operands) {
    Sizes out;
    for (const int operand : operands) {
      const Sizes& sizes = t_.tensor(operand).sizes;
      if (sizes.size() > out.size()) out.insert(out.begin(), sizes.size() - out.size(), 1);
      for (std::size_t i = 0; i < sizes.size(); ++i)
        if (std::int64_t& size = out[out.size() - sizes.size() + i]; size == 1) size = sizes[i];
    }
    return to_shape(out);
  }
  TflLowering& t_;
};

int bitcast(TflLowering& t, int x, DType dtype, Sizes sizes) { return t.add("BITCAST", {x}, {dtype, to_shape(sizes)}); }

// 2^n for n below 63, then any divisor, whose quotient nobody takes.
std::vector<std::int64_t> divisors() {
  std::vector<std::int64_t> table(65, 1);
  for (std::size_t n = 0; n < 63; ++n) table[n] = std::int64_t{1} << n;
  return table;
}

// An entry of an int64 table for each place, which must lie within it.
int looked_up(TflLowering& t, const std::vector<std::int64_t>& table, int places) {
  const Sizes sizes = t.tensor(places).sizes;
  if (const std::optional<Tensor>& known = t.tensor(places).constant) {
    std::vector<std::int64_t> found;
    for (const std::int64_t place : known->contiguous().to_ints()) found.push_back(table[static_cast<std::size_t>(place)]);
    return t.constant(Tensor::from(found, sizes));
  }
  const int row = t.add("CAST", {places}, {DType::int32, to_shape(sizes)});
  const int entries = t.constant(Tensor::from(table, {static_cast<std::int64_t>(table.size())}));
  return t.add("GATHER", {entries, row}, {DType::int64, to_shape(sizes)}, {{"axis", std::int64_t{0}}});
}

}  // namespace

int as_signed(TflLowering& t, int x) { return bitcast(t, x, DType::int64, t.tensor(x).sizes); }
int as_unsigned(TflLowering& t, int x) { return bitcast(t, x, DType::uint64, t.tensor(x).sizes); }

int halves(TflLowering& t, int x) {
  Sizes sizes = t.tensor(x).sizes;
  sizes.push_back(2);
  return bitcast(t, x, DType::int32, std::move(sizes));
}

int from_halves(TflLowering& t, int x) {
  Sizes sizes = t.tensor(x).sizes;
  sizes.pop_back();
  return bitcast(t, x, DType::int64, std::move(sizes));
}

// Three times what is left is divided as float32, which leaves 2^-22 of it and less than one y: then it is below 2 y. The rest of
// a floored division is exact, so the last step is one of -2, -1, 0 and 1; y and -y differ save for the least number, which goes
// into others only once.
int divide_64(TflLowering& t, int x, int y, bool floor) {
  Steps s(t);
  const int approximate_y = s.cast(y, DType::float32);
  int q = -1, left = x;
  for (int step = 0; step < 3; ++step) {
    const int part = s.cast(s.quotient(s.cast(left, DType::float32), approximate_y), DType::int64);
    q = q < 0 ? part : s.add(q, part);
    left = s.sub(left, s.mul(part, y));
  }
  const int rest = s.whole("FLOOR_MOD", left, y), zero = s.number(0);
  const int more = s.sub(left, rest), minus_y = s.negative(y);
  int steps = s.where(s.is("EQUAL", more, s.add(minus_y, minus_y)), s.number(-2), zero);
  steps = s.where(s.is("EQUAL", more, y), s.number(1), steps);
  steps = s.where(s.is("EQUAL", more, minus_y), s.number(-1), steps);
  q = s.add(q, s.where(s.is("EQUAL", more, zero), zero, steps));
  if (floor) return q;
  const int signs_differ = s.is("NOT_EQUAL", s.is("LESS", x, zero), s.is("LESS", y, zero));
  return s.add(q, s.where(s.is("LOGICAL_AND", signs_differ, s.is("NOT_EQUAL", rest, zero)), s.number(1), zero));
}

// By half of x, as Hacker's Delight (Warren, section 9-3) has it; a y with the upper bit fits once or not at all.
int divide_unsigned_64(TflLowering& t, int x, int y) {
  Steps s(t);
  const int zero = s.number(0), one = s.number(1);
  const int half = divide_64(t, shift_right_64(t, x, one, false), y, false);
  const int q = s.add(half, half);
  const int rest = s.sub(x, s.mul(q, y));
  const int of_small = s.add(q, s.where(s.is_unsigned("GREATER_EQUAL", rest, y), one, zero));
  const int of_large = s.where(s.is_unsigned("GREATER_EQUAL", x, y), one, zero);
  return s.where(s.is("LESS", y, zero), of_large, of_small);
}

// Bit by bit of y; from 64 on only its last bit counts, for 0, 1 and -1: all other powers are zero or lie beyond the type.
int power_64(TflLowering& t, int x, int y) {
  Steps s(t);
  const int zero = s.number(0), one = s.number(1), two = s.number(2);
  const int odd = s.whole("FLOOR_MOD", y, two), is_negative = s.is("LESS", y, zero);
  int bits = s.where(s.is("GREATER", y, s.number(63)), s.add(odd, s.number(64)), y);
  bits = s.where(is_negative, odd, bits);
  int exponent = s.cast(bits, DType::int32), power = x, out = -1;
  const int small_one = s.number(1, DType::int32), small_two = s.number(2, DType::int32);
  for (int bit = 0; bit < 7; ++bit) {
    const int factor = s.where(s.is("EQUAL", s.whole("FLOOR_MOD", exponent, small_two), small_one), power, one);
    out = out < 0 ? factor : s.mul(out, factor);
    power = s.mul(power, power);
    exponent = s.whole("FLOOR_DIV", exponent, small_two);
  }
  const int has_inverse = s.is("LOGICAL_OR", s.is("EQUAL", x, one), s.is("EQUAL", x, s.number(-1)));
  return s.where(is_negative, s.where(has_inverse, out, zero), out);
}

// A floored division by a power of two; by 63 or more, or less than none, only the sign stays.
int shift_right_64(TflLowering& t, int x, int by, bool with_sign) {
  Steps s(t);
  const int zero = s.number(0), is_negative = s.is("LESS", x, zero);
  int at = by;
  if (const std::optional<Tensor>& known = t.tensor(by).constant) {
    std::vector<std::int64_t> within;
    for (const std::int64_t n : known->contiguous().to_ints()) within.push_back(n < 0 || n > 64 ? 64 : n);
    const Sizes sizes = known->sizes();
    at = t.constant(Tensor::from(within, sizes));
  } else {
    const int outside = s.is("LOGICAL_OR", s.is("LESS", by, zero), s.is("GREATER", by, s.number(64)));
    at = s.where(outside, s.number(64), by);
  }
  const int shifted = divide_64(t, x, looked_up(t, divisors(), at), true);
  const int far = s.is("GREATER", at, s.number(62));
  const int y = s.where(far, s.where(is_negative, s.number(-1), zero), shifted);
  if (with_sign) return y;
  std::vector<std::int64_t> fill = {0};  // what makes zeros of the sign's copies: 2^(64 - n)
  for (int n = 1; n <= 64; ++n) fill.push_back(n == 1 ? least : std::int64_t{1} << (64 - n));
  return s.where(is_negative, s.add(y, looked_up(t, fill, at)), y);
}

}  // namespace wherry::tfl
