// Functions that map each element by itself. One row each.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"

#include <cmath>
#include <limits>

namespace wherry::ops {

namespace {

const std::vector<Input> floats = {{"x", "any float tensor"}};
const std::vector<Input> numbers = {{"x", "any tensor of numbers"}};
constexpr LayoutRule any{LayoutRule::any};

std::vector<Type> infer_numbers(const OpTypes& t) {
  if (t["x"].dtype == DType::boolean) infer::fault(fmt::format("{} takes numbers, not bool", t.node.op->name), "E502");
  return {t["x"]};
}

std::vector<Type> infer_bool(const OpTypes& t) { return {{DType::boolean, t["x"].shape}}; }

void eval_not(OpValues& v) {
  with_type(v.node, v["x"].dtype(), [&](auto zero) {
    const auto x = v["x"].as<decltype(zero)>();
    const auto y = v.out().mutable_as<std::uint8_t>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] == 0;
  });
}

std::vector<ValueId> expand_reciprocal(Builder& b, const Node& node) {
  return {b("div", {b.scalar(1, b.type(node.inputs[0]).dtype), node.inputs[0]})};
}

// Abramowitz and Stegun 7.1.26: sign(x) (1 - (a1 t + … + a5 t^5) exp(-x^2)) with t = 1 / (1 + p |x|); off by at most 1.5e-7.
std::vector<ValueId> expand_erf(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const auto number = [&](double value) { return b.scalar(value, b.type(x).dtype); };
  const ValueId t = b("reciprocal", {b("add", {b("mul", {b("abs", {x}), number(0.3275911)}), number(1)})});
  ValueId sum = number(1.061405429);
  for (const double a : {-1.453152027, 1.421413741, -0.284496736, 0.254829592}) sum = b("add", {b("mul", {t, sum}), number(a)});
  const ValueId tail = b("mul", {b("mul", {t, sum}), b("exp", {b("neg", {b("square", {x})})})});
  return {b("mul", {b("sign", {x}), b("sub", {number(1), tail})})};
}

std::vector<ValueId> convert_not(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  return {b(b.type(x).dtype == DType::boolean ? "logical_not" : "bitwise_not", {x})};
}

// ABS is for floats; the larger of x and -x is for integers as well.
void lower_abs(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const Type type = ordered(l.graph.type(out), order);
  if (is_float(type.dtype)) return l.give(out, l.add("ABS", {l.as_is(x)}, type), order);
  l.give(out, l.add("MAXIMUM", {l.as_is(x), l.add("NEG", {l.as_is(x)}, type)}, type), order);
}

std::vector<ValueId> expand_isnan(Builder& b, const Node& node) { return {b("ne", {node.inputs[0], node.inputs[0]})}; }

std::vector<ValueId> expand_isinf(Builder& b, const Node& node) {
  const double infinity = std::numeric_limits<double>::infinity();
  return {b("eq", {b("abs", {node.inputs[0]}), b.scalar(infinity, b.type(node.inputs[0]).dtype)})};
}

// Which infinities count.
std::vector<ValueId> convert_onnx_isinf(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const bool negative = flag(node, "detect_negative", true), positive = flag(node, "detect_positive", true);
  const double infinity = std::numeric_limits<double>::infinity();
  if (negative && positive) return {b("isinf", {x})};
  if (negative || positive) return {b("eq", {x, b.scalar(positive ? infinity : -infinity, b.type(x).dtype)})};
  return {b("full", {}, {{"size", onnx::static_shape(b, node, x)}, {"fill_value", 0.0}, {"dtype", DType::boolean}})};
}

std::vector<Type> infer_float_bool(const OpTypes& t) {
  infer::needs_float(t, "x");
  return {{DType::boolean, t["x"].shape}};
}

template <auto f>
void eval_question(OpValues& v) {
  with_float(v.node, v["x"].dtype(), [&](auto zero) {
    const auto x = v["x"].as<decltype(zero)>();
    const auto y = v.out().mutable_as<std::uint8_t>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
  });
}

void lower_not(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const Type type = ordered(l.graph.type(out), order);
  const DType from = l.graph.type(x).dtype;
  if (from == DType::boolean)
    l.give(out, l.add("LOGICAL_NOT", {l.as_is(x)}, type), order);
  else
    l.give(out, l.add("EQUAL", {l.as_is(x), l.constant(Tensor::scalar(0, from))}, type), order);
}

// One after the other on x.
template <Word first, Word second>
void lower_onnx_two(OnnxLowering& l, const Node& node) {
  l.give(node.outputs[0], l.add(second, {l.add(first, {l[node.inputs[0]]})}));
}

void lower_onnx_square(OnnxLowering& l, const Node& node) {
  const int x = l[node.inputs[0]];
  l.give(node.outputs[0], l.add("Mul", {x, x}));
}

void lower_onnx_not(OnnxLowering& l, const Node& node) {
  int x = l[node.inputs[0]];
  if (l.graph.type(node.inputs[0]).dtype != DType::boolean) x = l.add("Cast", {x}, {{"to", DType::boolean}});
  l.give(node.outputs[0], l.add("Not", {x}));
}

}  // namespace

OpList unary() {
  static const OpDef defs[] = {
      {.name = "exp",
       .doc = "e to the power of x, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::exp(x); })>,
       .layout = any,
       .torch = {{"aten.exp.default", "x=self"}, {"aten.exp_.default", "x=self"}},
       .onnx = {{"Exp", "x=0"}},
       .tflite = {.builtin = "EXP"},
       .onnx_out = {.op = "Exp"},
       .keras = {.layer = "ops.numpy.Exp"},
       .source = {"torch.exp({x})", "keras.ops.exp({x})", "jnp.exp({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"exp(x: float32[2, 5])"}},
      {.name = "log",
       .doc = "The natural logarithm, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::log(x); })>,
       .layout = any,
       .torch = {{"aten.log.default", "x=self"}, {"aten.log_.default", "x=self"}},
       .onnx = {{"Log", "x=0"}},
       .tflite = {.builtin = "LOG"},
       .onnx_out = {.op = "Log"},
       .keras = {.layer = "ops.numpy.Log"},
       .source = {"torch.log({x})", "keras.ops.log({x})", "jnp.log({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"log(x: float32[2, 5] in 0.1..9)"}},
      {.name = "sqrt",
       .doc = "The square root, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::sqrt(x); })>,
       .layout = any,
       .torch = {{"aten.sqrt.default", "x=self"}, {"aten.sqrt_.default", "x=self"}},
       .onnx = {{"Sqrt", "x=0"}},
       .tflite = {.builtin = "SQRT"},
       .onnx_out = {.op = "Sqrt"},
       .keras = {.layer = "ops.numpy.Sqrt"},
       .source = {"torch.sqrt({x})", "keras.ops.sqrt({x})", "jnp.sqrt({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"sqrt(x: float32[2, 5] in 0..9)"}},
      {.name = "rsqrt",
       .doc = "1 / sqrt(x), element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return 1 / std::sqrt(x); })>,
       .layout = any,
       .torch = {{"aten.rsqrt.default", "x=self"}, {"aten.rsqrt_.default", "x=self"}},
       .tflite = {.builtin = "RSQRT"},
       .onnx_out = {.lower = lower_onnx_two<"Sqrt", "Reciprocal">},
       .keras = {.layer = "ops.math.Rsqrt"},
       .source = {"torch.rsqrt({x})", "keras.ops.rsqrt({x})", "jax.lax.rsqrt({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"rsqrt(x: float32[2, 5] in 0.1..9)"}},
      {.name = "abs",
       .doc = "The size without the sign, element by element.",
       .inputs = numbers,
       .infer = infer_numbers,
       .eval = each_number<([](auto x) { return x < 0 ? -modular(x) : modular(x); })>,
       .layout = any,
       .torch = {{"aten.abs.default", "x=self"}, {"aten.abs_.default", "x=self"}},
       .onnx = {{"Abs", "x=0"}},
       .tflite_in = {{"ABS", "x=0"}},
       .tflite = {.lower = lower_abs, .integers = "int32 int64"},
       .onnx_out = {.op = "Abs"},
       .keras = {.layer = "ops.numpy.Absolute"},
       .source = {"torch.abs({x})", "keras.ops.abs({x})", "jnp.abs({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"abs(x: float32[2, 5])", "abs(x: int64[4] in -5..5)"}},
      {.name = "neg",
       .doc = "-x, element by element.",
       .inputs = numbers,
       .infer = infer_numbers,
       .eval = each_number<([](auto x) { return -modular(x); })>,
       .layout = any,
       .torch = {{"aten.neg.default", "x=self"}, {"aten.neg_.default", "x=self"}},
       .onnx = {{"Neg", "x=0"}},
       .tflite = {.builtin = "NEG", .integers = "int32 int64"},
       .onnx_out = {.op = "Neg"},
       .keras = {.layer = "ops.numpy.Negative"},
       .source = {"-{x}", "keras.ops.negative({x})", "-{x}"},
       .quant = {QuantRule::own_range},
       .examples = {"neg(x: float32[2, 5])", "neg(x: int64[4])"}},
      {.name = "square",
       .doc = "x * x, element by element.",
       .inputs = numbers,
       .infer = infer_numbers,
       .eval = each_number<([](auto x) { return modular(x) * modular(x); })>,
       .layout = any,
       .torch = {{"aten.square.default", "x=self"}, {"aten.square_.default", "x=self"}},
       .tflite = {.builtin = "SQUARE"},
       .onnx_out = {.lower = lower_onnx_square},
       .keras = {.layer = "ops.numpy.Square"},
       .source = {"torch.square({x})", "keras.ops.square({x})", "jnp.square({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"square(x: float32[2, 5])"}},
      {.name = "sin",
       .doc = "The sine, x in radians, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::sin(x); })>,
       .layout = any,
       .torch = {{"aten.sin.default", "x=self"}, {"aten.sin_.default", "x=self"}},
       .onnx = {{"Sin", "x=0"}},
       .tflite = {.builtin = "SIN"},
       .onnx_out = {.op = "Sin"},
       .keras = {.layer = "ops.numpy.Sin"},
       .source = {"torch.sin({x})", "keras.ops.sin({x})", "jnp.sin({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"sin(x: float32[2, 5] in -7..7)"}},
      {.name = "cos",
       .doc = "The cosine, x in radians, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::cos(x); })>,
       .layout = any,
       .torch = {{"aten.cos.default", "x=self"}, {"aten.cos_.default", "x=self"}},
       .onnx = {{"Cos", "x=0"}},
       .tflite = {.builtin = "COS"},
       .onnx_out = {.op = "Cos"},
       .keras = {.layer = "ops.numpy.Cos"},
       .source = {"torch.cos({x})", "keras.ops.cos({x})", "jnp.cos({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"cos(x: float32[2, 5] in -7..7)"}},
      {.name = "floor",
       .doc = "The next whole number below or at x, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::floor(x); })>,
       .layout = any,
       .torch = {{"aten.floor.default", "x=self"}, {"aten.floor_.default", "x=self"}},
       .onnx = {{"Floor", "x=0"}},
       .tflite = {.builtin = "FLOOR"},
       .onnx_out = {.op = "Floor"},
       .keras = {.layer = "ops.numpy.Floor"},
       .source = {"torch.floor({x})", "keras.ops.floor({x})", "jnp.floor({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"floor(x: float32[2, 5])"}},
      {.name = "ceil",
       .doc = "The next whole number above or at x, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::ceil(x); })>,
       .layout = any,
       .torch = {{"aten.ceil.default", "x=self"}, {"aten.ceil_.default", "x=self"}},
       .onnx = {{"Ceil", "x=0"}},
       .tflite = {.builtin = "CEIL"},
       .onnx_out = {.op = "Ceil"},
       .keras = {.layer = "ops.numpy.Ceil"},
       .source = {"torch.ceil({x})", "keras.ops.ceil({x})", "jnp.ceil({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"ceil(x: float32[2, 5])"}},
      {.name = "round",
       .doc = "The nearest whole number, halves to the even one, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::nearbyint(x); })>,
       .layout = any,
       .torch = {{"aten.round.default", "x=self"}, {"aten.round_.default", "x=self"}},
       .onnx = {{"Round", "x=0"}},
       .tflite = {.builtin = "ROUND"},
       .onnx_out = {.op = "Round"},
       .keras = {.layer = "ops.numpy.Round"},
       .source = {"torch.round({x})", "keras.ops.round({x})", "jnp.round({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"round(x: float32[7] = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.7])"}},
      {.name = "sign",
       .doc = "-1, 0 or 1 as x is below, at or above zero, element by element.",
       .inputs = numbers,
       .infer = infer_numbers,
       .eval = each_number<([](auto x) { return (x > 0) - (x < 0); })>,
       .layout = any,
       .torch = {{"aten.sign.default", "x=self"}, {"aten.sign_.default", "x=self"}},
       .onnx = {{"Sign", "x=0"}},
       .tflite = {.builtin = "SIGN", .integers = "int32"},
       .onnx_out = {.op = "Sign"},
       .keras = {.layer = "ops.numpy.Sign"},
       .source = {"torch.sign({x})", "keras.ops.sign({x})", "jnp.sign({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"sign(x: float32[5] = [-2, 0, 3, 0.5, -0.1])"}},
      {.name = "reciprocal",
       .doc = "1 / x, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return 1 / x; })>,
       .expand = expand_reciprocal,
       .layout = any,
       .torch = {{"aten.reciprocal.default", "x=self"}, {"aten.reciprocal_.default", "x=self"}},
       .onnx = {{"Reciprocal", "x=0"}},
       .onnx_out = {.op = "Reciprocal"},
       .keras = {.layer = "ops.numpy.Reciprocal"},
       .source = {"torch.reciprocal({x})", "keras.ops.reciprocal({x})", "1 / {x}"},
       .quant = {QuantRule::own_range},
       .examples = {"reciprocal(x: float32[2, 5] in 0.2..9)"}},
      {.name = "erf",
       .doc = "The error function, element by element.",
       .inputs = floats,
       .infer = infer::float_same_as_first,
       .eval = each_float<([](auto x) { return std::erf(x); })>,
       .expand = expand_erf,
       .layout = any,
       .torch = {{"aten.erf.default", "x=self"}, {"aten.erf_.default", "x=self"}},
       .onnx = {{"Erf", "x=0"}},
       .onnx_out = {.op = "Erf"},
       .keras = {.layer = "ops.math.Erf"},
       .source = {.torch = "torch.erf({x})", .keras = "keras.ops.erf({x})", .jax = "jax.lax.erf({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"erf(x: float32[2, 9] in -4..4)"}},
      {.name = "logical_not",
       .doc = "Whether x is zero or false, element by element.",
       .inputs = {{"x", "any tensor"}},
       .infer = infer_bool,
       .eval = eval_not,
       .layout = any,
       .torch = {{"aten.logical_not.default", "x=self"}, {"aten.bitwise_not.default", "", 0, convert_not}},
       .onnx = {{"Not", "x=0"}},
       .tflite_in = {{"LOGICAL_NOT", "x=0"}},
       .tflite = {.lower = lower_not, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx_not},
       .keras = {.layer = "ops.numpy.LogicalNot"},
       .source = {"torch.logical_not({x})", "keras.ops.logical_not({x})", "jnp.logical_not({x})"},
       .examples = {"logical_not(x: bool[5])", "logical_not(x: float32[3] = [0, 1, -2])"}},
      {.name = "isnan",
       .doc = "Whether x is not a number, element by element.",
       .inputs = floats,
       .infer = infer_float_bool,
       .eval = eval_question<([](auto x) { return std::isnan(x); })>,
       .expand = expand_isnan,
       .layout = any,
       .torch = {{"aten.isnan.default", "x=self"}},
       .onnx = {{"IsNaN", "x=0", 9}},
       .onnx_out = {.op = "IsNaN"},
       .keras = {.layer = "ops.numpy.Isnan"},
       .source = {"torch.isnan({x})", "keras.ops.isnan({x})", "jnp.isnan({x})"},
       .examples = {"isnan(x: float32[3] = [0, 1, -2])"}},
      {.name = "isinf",
       .doc = "Whether x is infinite, element by element.",
       .inputs = floats,
       .infer = infer_float_bool,
       .eval = eval_question<([](auto x) { return std::isinf(x); })>,
       .expand = expand_isinf,
       .layout = any,
       .torch = {{"aten.isinf.default", "x=self"}},
       .onnx = {{.target = "IsInf", .since = 10, .convert = convert_onnx_isinf}},
       .onnx_out = {.op = "IsInf"},
       .keras = {.layer = "ops.numpy.Isinf"},
       .source = {"torch.isinf({x})", "keras.ops.isinf({x})", "jnp.isinf({x})"},
       .examples = {"isinf(x: float32[3] = [0, 1, -2])"}},
  };
  return defs;
}

}  // namespace wherry::ops
