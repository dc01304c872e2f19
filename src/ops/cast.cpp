// Between data types.
#include "ir/narrow_float.h"
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

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

void lower_cast(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const DType from = l.graph.type(x).dtype, to = l.graph.type(out).dtype;
  if (from == to) return l.give(out, l.as_is(x), order);
  for (const DType type : {from, to})
    if (is_narrow_float(type) || type == DType::uint64) l.refuse(node, fmt::format("LiteRT casts no {}", name(type)));
  int y = l.as_is(x);
  if (bits(from) < 8 && to != DType::float32) y = l.add("CAST", {y}, {DType::float32, to_shape(l.tensor(y).sizes)});  // all that it knows
  if (bits(to) < 8) y = wrapped(l, y, to);
  l.give(out, l.add("CAST", {y}, ordered(l.graph.type(out), order)), order);
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
       .tflite_in = {{"CAST", "", 0, convert_tflite}},
       .tflite = {.lower = lower_cast},
       .onnx_out = {.op = "Cast", .attributes = "to=dtype"},
       .keras = {.lower = keras_cast},
       .source = {.torch = "{x}.to({dtype})", .keras = "keras.ops.cast({x}, '{dtype}')", .jax = "{x}.astype({dtype})"},
       .examples = {"cast(x: float32[2, 3], dtype: int32)", "cast(x: int64[4], dtype: float32)", "cast(x: bool[4], dtype: float32)"}},
  };
  return defs;
}

}  // namespace wherry::ops
