// Between data types.
#include "ir/narrow_float.h"
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/integers_64.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace wherry::ops {

namespace {

std::vector<Type> infer_cast(const OpTypes& t) { return {{std::get<DType>(t.node.attr("dtype")), t["x"].shape}}; }

// Narrow floats are computed as float32, but rounded once where the cast asks for them.
void eval_cast(OpValues& v) {
  const Tensor out = v["x"].cast(std::get<DType>(v.node.attr("dtype"))).cast(v.out().dtype());
  if (out.bytes()) std::memcpy(v.out().mutable_data(), out.data(), out.bytes());
}

// What does not fit loses its upper bits, where the kernel would limit it; it takes floats only.
int wrapped(TflLowering& l, int x, DType to) {
  const Shape shape = to_shape(l.tensor(x).sizes);
  const Type whole{DType::int32, shape};
  const auto number = [&](double value) { return l.constant(Tensor::scalar(value, DType::int32)); };
  const double count = std::ldexp(1.0, bits(to)), least = is_signed(to) ? count / 2 : 0;
  int y = l.tensor(x).dtype == DType::int32 ? x : l.add("CAST", {x}, whole);
  if (least != 0) y = tfl::binary(l, "ADD", y, number(least), whole);
  y = l.add("FLOOR_MOD", {y, number(count)}, whole);
  if (least != 0) y = tfl::binary(l, "SUB", y, number(least), whole);
  return l.add("CAST", {y}, {DType::float32, shape});
}

// Steps over one tensor of float32.
class Narrowing {
 public:
  Narrowing(TflLowering& l, int x) : l_(l), x_(x), shape_(to_shape(l.tensor(x).sizes)) {}

  // The nearest number of `to`, ties to the even code, as narrow_float.h says: a whole number of steps, which double with each
  // power of two above the subnormals. What lies beyond the greatest, and NaN, becomes what the type has for it.
  int nearest(DType to) {
    const auto value = [&](int code) { return narrow_to_number(to, static_cast<std::uint8_t>(code)); };
    const double most = greatest(to), first = value(1), last = most - value(number_to_narrow(to, most) - 1);
    const double steps = std::exp2(std::floor(std::log2(most / last)));  // to the next power of two
    const int size = step("ABS", {x_});
    int unit = number(first);
    for (int n = static_cast<int>(std::bit_floor(static_cast<unsigned>(std::lround(std::log2(last / first))))); n > 0; n /= 2) {
      const int larger = times(unit, std::ldexp(1.0, n));
      unit = where(is("GREATER_EQUAL", size, times(larger, steps)), larger, unit);
    }
    int y = pair("MUL", step("ROUND", {pair("DIV", x_, unit)}), unit);
    const double beyond = value(number_to_narrow(to, HUGE_VAL)), undefined = value(number_to_narrow(to, NAN));
    if (beyond == most)
      y = step("MAXIMUM", {step("MINIMUM", {y, number(most)}), number(-most)});
    else
      y = where(is("GREATER", step("ABS", {y}), number(most)), std::isnan(beyond) ? number(NAN) : times(y, HUGE_VAL), y);
    if (!std::isnan(undefined)) y = where(is("NOT_EQUAL", x_, x_), number(undefined), y);
    const bool has_minus_zero = std::signbit(value(number_to_narrow(to, -0.0)));
    return has_minus_zero ? y : pair("ADD", y, number(0));
  }

  // Powers of two from 2^-127, ties to the even exponent; no sign and no zero. The subnormal one is only chosen, never computed.
  int nearest_power() {
    int power = number(std::ldexp(1.0, -126)), even = -1;
    for (const int n : {64, 64, 64, 32, 16, 8, 4, 2, 1}) {
      const int larger = times(power, std::ldexp(1.0, n));
      even = is("GREATER_EQUAL", x_, larger);
      power = where(even, larger, power);
    }
    const int ratio = pair("DIV", x_, power);
    const int up =
        step("LOGICAL_OR",
             {is("GREATER", ratio, number(1.5)),
              step("LOGICAL_AND", {is("EQUAL", ratio, number(1.5)), step("LOGICAL_NOT", {even}, DType::boolean)}, DType::boolean)},
             DType::boolean);
    int y = where(up, times(power, 2), power);
    y = where(is("GREATER", x_, number(std::ldexp(0.75, -126))), y, number(std::ldexp(1.0, -127)));
    y = where(is("GREATER", y, number(greatest(DType::float8_e8m0fnu))), number(NAN), y);
    return where(is("GREATER_EQUAL", x_, number(0)), y, number(NAN));
  }

 private:
  int number(double value) { return l_.constant(Tensor::scalar(value)); }
  int step(std::string_view builtin, std::vector<int> inputs, DType type = DType::float32) {
    return l_.add(builtin, std::move(inputs), {type, shape_});
  }
  int pair(std::string_view builtin, int a, int b) { return tfl::binary(l_, builtin, a, b, {DType::float32, shape_}); }
  int times(int a, double factor) {
    const Tensor* known = l_.tensor(a).constant ? &*l_.tensor(a).constant : nullptr;
    return known ? number(known->item() * factor) : pair("MUL", a, number(factor));
  }
  int is(std::string_view comparison, int a, int b) { return step(comparison, {a, b}, DType::boolean); }
  int where(int condition, int a, int b) { return step("SELECT_V2", {condition, a, b}); }

  TflLowering& l_;
  int x_;
  Shape shape_;
};

// The kernels cast no uint64: its bits are those of int64, but for floats, where the upper half of its numbers lies 2^64 higher.
int from_uint64(TflLowering& l, int x, DType to) {
  const Shape shape = to_shape(l.tensor(x).sizes);
  const int bits = tfl::as_signed(l, x);
  if (to == DType::int64) return bits;
  const int y = l.add("CAST", {bits}, {to, shape});
  if (!is_float(to)) return y;
  const int upper = l.add("LESS", {bits, l.constant(Tensor::scalar(0, DType::int64))}, {DType::boolean, shape});
  const int higher = tfl::binary(l, "ADD", y, l.constant(Tensor::scalar(std::ldexp(1.0, 64), to)), {to, shape});
  return l.add("SELECT_V2", {upper, higher, y}, {to, shape});
}

int to_uint64(TflLowering& l, int x) {
  const DType from = l.tensor(x).dtype;
  const Type whole{DType::int64, to_shape(l.tensor(x).sizes)};
  if (from == DType::int64) return tfl::as_unsigned(l, x);
  if (!is_float(from)) return tfl::as_unsigned(l, l.add("CAST", {x}, whole));
  const int middle = l.constant(Tensor::scalar(std::ldexp(1.0, 63), from));
  const int upper = l.add("GREATER_EQUAL", {x, middle}, {DType::boolean, whole.shape});
  const int lower_bits = l.add("CAST", {tfl::binary(l, "SUB", x, middle, {from, whole.shape})}, whole);
  const int turned = tfl::binary(l, "ADD", lower_bits, l.constant(Tensor::scalar(-std::ldexp(1.0, 63), DType::int64)), whole);
  return tfl::as_unsigned(l, l.add("SELECT_V2", {upper, turned, l.add("CAST", {x}, whole)}, whole));
}

void lower_cast(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const DType from = l.graph.type(x).dtype, to = l.graph.type(out).dtype;
  int y = l.as_is(x);
  if (from == to) return l.give(out, y, order);
  const auto cast_to = [&](DType type) {
    if (l.tensor(y).dtype != type) y = l.add("CAST", {y}, {type, to_shape(l.tensor(y).sizes)});
  };
  if (from == DType::uint64) y = from_uint64(l, y, bits(to) < 8 ? DType::int32 : is_narrow_float(to) ? DType::float32 : to);
  if (bits(l.tensor(y).dtype) < 8) cast_to(DType::float32);  // all that it knows
  if (is_narrow_float(to)) {
    cast_to(DType::float32);
    y = to == DType::float8_e8m0fnu ? Narrowing(l, y).nearest_power() : Narrowing(l, y).nearest(to);
  } else if (to == DType::uint64) {
    y = to_uint64(l, y);
  } else if (bits(to) < 8) {
    y = wrapped(l, y, to);
  }
  cast_to(tfl_type(to));
  l.give(out, y, order);
}

// The type that the node asks for, or the input itself where it asks for none other.
template <Word argument>
std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::string_view other = argument;
  if (!other.empty()) return {cast(b, x, b.type(node.value(other)).dtype)};
  const std::optional<DType> type = dtype(node, "dtype");
  return {type ? cast(b, x, *type) : x};
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  return {cast(b, tfl_in::input(node, 0), node.output_types.at(0).dtype)};
}

// Of integers, as ops/integers_64 writes it: another sign, or the halves of 64 bits along a new last axis.
std::vector<ValueId> convert_tflite_bitcast(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  const DType from = b.type(x).dtype, to = node.output_types.at(0).dtype;
  if (!is_integer(from) || !is_integer(to)) refuse(node, fmt::format("BITCAST of {} to {} is not known", name(from), name(to)));
  if (bits(from) == bits(to)) return {cast(b, x, to)};
  const ValueId places = b.scalar(32, DType::int64);
  if (from == DType::int64 && to == DType::int32) {
    const ValueId upper = b("bitwise_right_shift", {x, places});
    return {b("stack", {cast(b, x, to), cast(b, upper, to)}, {{"dim", std::int64_t{-1}}})};
  }
  if (from != DType::int32 || to != DType::int64) refuse(node, fmt::format("BITCAST of {} to {} is not known", name(from), name(to)));
  const auto half = [&](std::int64_t index) { return b("select", {x}, {{"dim", std::int64_t{-1}}, {"index", index}}); };
  const ValueId lower = cast(b, cast(b, half(0), DType::uint32), to), upper = cast(b, half(1), to);
  return {b("add", {b("bitwise_left_shift", {upper, places}), lower})};
}

void keras_cast(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  if (k.graph.type(x).dtype == k.graph.type(out).dtype) return k.give(out, k.as_is(x), k.order(x));
  keras::lower_each(k, node, "ops.core.Cast", {{"dtype", k.graph.type(out).dtype}});
}

// Powers of two: the next one above or below x, where the nearest is not asked for.
ValueId to_power(Builder& b, const ForeignNode& node, ValueId x) {
  const std::string mode = word(node, "round_mode", "up");
  if (mode == "nearest") return x;
  if (mode != "up" && mode != "down") refuse(node, fmt::format("round_mode '{}' of '{}' is not known", mode, node.target));
  const ValueId nearest = cast(b, cast(b, x, DType::float8_e8m0fnu), DType::float32);
  const ValueId other = b("mul", {nearest, b.scalar(mode == "up" ? 2 : 0.5)});
  return b("where", {b(mode == "up" ? "lt" : "gt", {nearest, x}), other, nearest});
}

// To narrow floats ONNX limits numbers to the greatest one, unless saturate is 0.
ValueId onnx_cast(Builder& b, const ForeignNode& node, ValueId x, DType to) {
  if (!is_narrow_float(to)) return cast(b, x, to);
  if (!is_float(b.type(x).dtype)) x = cast(b, x, DType::float32);
  const double most = greatest(to);
  const bool powers = to == DType::float8_e8m0fnu;
  if (flag(node, "saturate", true)) x = b("clamp", {x}, {{"min", powers ? 1 / most : -most}, {"max", most}});
  if (powers) x = to_power(b, node, cast(b, x, DType::float32));
  return cast(b, x, to);
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  return {onnx_cast(b, node, onnx::required(node, 0), onnx::dtype(node, "to"))};
}

std::vector<ValueId> convert_onnx_like(Builder& b, const ForeignNode& node) {
  return {onnx_cast(b, node, onnx::required(node, 0), b.type(onnx::required(node, 1)).dtype)};
}

}  // namespace

OpList cast() {
  static const OpDef defs[] = {
      {.name = "cast",
       .doc = "x in another data type; floats become integers by dropping what follows the point.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dtype", AttrKind::dtype, {}, "the data type wanted"}},
       .infer = infer_cast,
       .eval = eval_cast,
       .layout = {LayoutRule::any},
       .torch = {{"aten.to.dtype", "", 0, convert<"">},
                 {"aten.to.dtype_layout", "", 0, convert<"">},
                 {"aten.to.device", "", 0, convert<"">},
                 {"aten.to.other", "", 0, convert<"other">},
                 {"aten._to_copy.default", "", 0, convert<"">},
                 {"aten.type_as.default", "", 0, convert<"other">}},
       .onnx = {{.target = "Cast", .convert = convert_onnx}, {.target = "CastLike", .since = 15, .convert = convert_onnx_like}},
       .tflite_in = {{"CAST", "", 0, convert_tflite}, {"BITCAST", "", 0, convert_tflite_bitcast}},
       .tflite = {.lower = lower_cast},
       .onnx_out = {.op = "Cast", .attributes = "to=dtype"},
       .keras = {.lower = keras_cast},
       .source = {.torch = "{x}.to({dtype})", .keras = "keras.ops.cast({x}, '{dtype}')", .jax = "{x}.astype({dtype})"},
       .examples = {"cast(x: float32[2, 3], dtype: int32)", "cast(x: int64[4], dtype: float32)", "cast(x: bool[4], dtype: float32)"}},
  };
  return defs;
}

}  // namespace wherry::ops
