// Arithmetic of two tensors, element by element with broadcasting.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/integers_64.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

namespace wherry::ops {

namespace {

constexpr LayoutRule any{LayoutRule::any};
const std::vector<Input> two = {{"x", "the first operand"}, {"y", "the second; shapes broadcast, a number stands for a scalar constant"}};

std::vector<Type> numbers(const OpTypes& t) {
  std::vector<Type> out = infer::broadcast(t);
  if (out[0].dtype == DType::boolean) infer::fault(fmt::format("{} takes numbers, not bool", t.node.op->name), "E502");
  return out;
}

std::vector<Type> floats(const OpTypes& t) {
  std::vector<Type> out = infer::broadcast(t);
  if (!is_float(out[0].dtype)) infer::fault(fmt::format("{} takes float numbers, not {}", t.node.op->name, name(out[0].dtype)), "E502");
  return out;
}

template <auto f>
void pairs(OpValues& v) {
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_pairs<T, T>(v, v.out().dtype(), f);
  });
}

template <class T>
T floor_mod(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    const T r = std::fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
  } else {
    if (y == 0 || (std::is_signed_v<T> && y == static_cast<T>(-1))) return 0;  // the processor traps the least number by -1
    const auto r = static_cast<T>(x % y);
    return static_cast<T>(r != 0 && (r < 0) != (y < 0) ? r + y : r);
  }
}

template <class T>
T divide(T x, T y, char mode) {
  if constexpr (std::is_floating_point_v<T>) {
    const T q = x / y;
    return mode == 'f' ? std::floor(q) : mode == 't' ? std::trunc(q) : q;
  } else {
    if (y == 0) return 0;
    if (std::is_signed_v<T> && y == static_cast<T>(-1)) return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x));
    const auto q = static_cast<T>(x / y);
    return static_cast<T>(mode == 'f' && x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q);
  }
}

char rounding(const Node& node) { return node.is_none("rounding_mode") ? ' ' : node.string("rounding_mode")[0]; }

std::vector<Type> infer_div(const OpTypes& t) { return rounding(t.node) == ' ' ? floats(t) : numbers(t); }

void eval_div(OpValues& v) {
  const char mode = rounding(v.node);
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (mode == ' ')
      map_pairs<T, T>(v, v.out().dtype(), [](T x, T y) { return divide(x, y, ' '); });
    else
      map_pairs<T, T>(v, v.out().dtype(), [mode](T x, T y) { return divide(x, y, mode); });
  });
}

void lower_div(TflLowering& l, const Node& node) {
  Order order;
  const std::vector<int> inputs = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order);
  const char mode = rounding(node);
  if (type.dtype == DType::int64) return l.give(node.outputs[0], tfl::divide_64(l, inputs[0], inputs[1], mode == 'f'), order);
  if (type.dtype == DType::uint64)
    return l.give(node.outputs[0],
                  tfl::as_unsigned(l, tfl::divide_unsigned_64(l, tfl::as_signed(l, inputs[0]), tfl::as_signed(l, inputs[1]))), order);
  int out = l.add(mode == 'f' ? "FLOOR_DIV" : "DIV", inputs, type,
                  mode == 'f' ? std::vector<TflOption>{} : std::vector<TflOption>{{"fused_activation_function", std::string("NONE")}});
  if (mode == 't' && is_float(type.dtype)) {  // trunc(q) = sign(q) floor(|q|)
    const int size = l.add("FLOOR", {l.add("ABS", {out}, type)}, type);
    out = l.add("MUL", {l.add("SIGN", {out}, type), size}, type, {{"fused_activation_function", std::string("NONE")}});
  }
  l.give(node.outputs[0], out, order);
}

// Only of uint64 there is no kernel.
void lower_remainder(TflLowering& l, const Node& node) {
  Order order;
  const std::vector<int> inputs = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order), bits{DType::int64, type.shape};
  if (type.dtype != DType::uint64) return l.give(node.outputs[0], l.add("FLOOR_MOD", inputs, type), order);
  const int x = tfl::as_signed(l, inputs[0]), y = tfl::as_signed(l, inputs[1]);
  const int taken = tfl::binary(l, "MUL", tfl::divide_unsigned_64(l, x, y), y, bits);
  l.give(node.outputs[0], tfl::as_unsigned(l, tfl::binary(l, "SUB", x, taken, bits)), order);
}

// add and sub: other times alpha.
template <Word op, bool reversed>
std::vector<ValueId> convert_sum(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> xy = promoted(b, node, {"self", "other"});
  if (const double alpha = number(node, "alpha", 1.0); alpha != 1) {
    ValueId& scaled = reversed ? xy[0] : xy[1];
    scaled = b("mul", {scaled, b.scalar(alpha, b.type(scaled).dtype)});
  }
  if (reversed) std::swap(xy[0], xy[1]);
  const std::string_view name = op;
  return {b(name == "add" && b.type(xy[0]).dtype == DType::boolean ? "logical_or" : name, xy)};
}

std::vector<ValueId> convert_mul(Builder& b, const ForeignNode& node) {
  const std::vector<ValueId> xy = promoted(b, node, {"self", "other"});
  return {b(b.type(xy[0]).dtype == DType::boolean ? "logical_and" : "mul", xy)};
}

template <Word argument>
std::vector<ValueId> convert_div(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> xy = promoted(b, node, {"self", "other"});
  const std::string_view fixed = argument;
  const std::string mode = fixed.empty() ? word(node, "rounding_mode", "") : std::string(fixed);
  if (!mode.empty() && mode != "floor" && mode != "trunc")
    refuse(node, fmt::format("rounding_mode '{}' of '{}' is not known", mode, node.target));
  if (!mode.empty()) return {b("div", xy, {{"rounding_mode", mode}})};
  if (!is_float(b.type(xy[0]).dtype)) xy = {cast(b, xy[0], DType::float32), cast(b, xy[1], DType::float32)};
  return {b("div", xy)};
}

std::vector<ValueId> convert_pow(Builder& b, const ForeignNode& node) { return {b("pow", promoted(b, node, {"self", "exponent"}))}; }

// A fixed exponent of 2, 1/2 or -1/2 has an operator of its own.
void lower_pow(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], y = node.inputs[1], out = node.outputs[0];
  const double exponent = l.graph.is_constant(y) && l.graph.type(y).shape.empty() ? l.graph[y].constant->item() : 0;
  const std::string_view builtin = exponent == 2 ? "SQUARE" : exponent == 0.5 ? "SQRT" : exponent == -0.5 ? "RSQRT" : "POW";
  Order order;
  std::vector<int> inputs = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(out), order);
  if (type.dtype == DType::int64) return l.give(out, tfl::power_64(l, inputs[0], inputs[1]), order);
  const bool plain = builtin == "POW" || !is_float(type.dtype) || l.graph.is_constant(x);
  if (!plain) inputs.resize(1);
  l.give(out, l.add(plain ? "POW" : builtin, inputs, type), order);
}

template <class T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return y == T(2) ? x * x : std::pow(x, y);
  } else {
    if (y < 0) return static_cast<T>(x == 1 ? 1 : x == static_cast<T>(-1) ? (y % 2 ? x : 1) : 0);
    std::uint64_t out = 1;
    for (std::uint64_t base = modular(x), e = modular(y); e > 0; e /= 2, base *= base)
      if (e % 2) out *= base;
    return static_cast<T>(out);
  }
}

std::vector<ValueId> convert_tflite_div(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0), y = tfl_in::input(node, 1);
  return {is_float(b.type(x).dtype) ? b("div", {x, y}) : b("div", {x, y}, {{"rounding_mode", std::string("trunc")}})};
}

std::vector<ValueId> convert_tflite_floor_div(Builder& b, const ForeignNode& node) {
  return {b("div", {tfl_in::input(node, 0), tfl_in::input(node, 1)}, {{"rounding_mode", std::string("floor")}})};
}

std::vector<ValueId> convert_tflite_squared_difference(Builder& b, const ForeignNode& node) {
  return {b("square", {b("sub", {tfl_in::input(node, 0), tfl_in::input(node, 1)})})};
}

std::vector<ValueId> convert_tflite_add_n(Builder& b, const ForeignNode& node) {
  ValueId sum = tfl_in::input(node, 0);
  for (std::size_t i = 1; tfl_in::has(node, i); ++i) sum = b("add", {sum, tfl_in::input(node, i)});
  return {sum};
}

// ---- source text ----------------------------------------------------------------------------------------------------

void source_of_div(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  if (nodes[0]->is_none("rounding_mode")) return;
  slot.torch = "torch.div({x}, {y}, rounding_mode={rounding_mode})";
  const bool whole = !is_float(graph.type(nodes[0]->outputs[0]).dtype);
  if (nodes[0]->string("rounding_mode") == "floor")
    slot.jax = "jnp.floor_divide({x}, {y})";
  else
    slot.jax = whole ? "jnp.trunc({x} / {y}).astype(int)" : "jnp.trunc({x} / {y})";
}

// PyTorch's maximum takes no number.
template <bool greater>
void source_of_extreme(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  const auto number = [&](std::size_t input) {
    const Value& value = graph[nodes[0]->inputs[input]];
    return value.constant && value.name.empty() && value.type.shape.empty();
  };
  if (number(1)) slot.torch = greater ? "torch.clamp({x}, min={y})" : "torch.clamp({x}, max={y})";
  if (number(0)) slot.torch = greater ? "torch.clamp({y}, min={x})" : "torch.clamp({y}, max={x})";
}

void keras_div(KerasLowering& k, const Node& node) {
  Order order;
  const std::vector<int> inputs = k.same_order(node.inputs, order);
  const Type type = ordered(k.graph.type(node.outputs[0]), order);
  const char mode = rounding(node);
  if (mode == 't' && !is_float(type.dtype)) k.refuse(node, "Keras has no division of integers that rounds towards zero");
  int out = keras::binary(k, mode == 'f' ? "FloorDivide" : "Divide", inputs[0], inputs[1], type);
  if (mode == 't') out = k.add("ops.numpy.Trunc", {KerasRef{out}}, type);
  k.give(node.outputs[0], out, order);
}

// ---- ONNX: both sides are of one type ----

template <Word op>
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  return {b(op, {onnx::required(node, 0), onnx::required(node, 1)})};
}

// Integers are divided towards zero.
std::vector<ValueId> convert_onnx_div(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), y = onnx::required(node, 1);
  if (is_float(b.type(x).dtype)) return {b("div", {x, y})};
  return {b("div", {x, y}, {{"rounding_mode", "trunc"}})};
}

// fmod 1: what is left has the sign of x.
std::vector<ValueId> convert_onnx_mod(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), y = onnx::required(node, 1);
  if (integer(node, "fmod", 0) == 0) return {b("remainder", {x, y})};
  return {b("sub", {x, b("mul", {b("div", {x, y}, {{"rounding_mode", "trunc"}}), y})})};
}

// The result is of the base's type, the exponent of any.
std::vector<ValueId> convert_onnx_pow(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), y = onnx::required(node, 1);
  const DType type = b.type(x).dtype;
  if (is_float(type) || !is_float(b.type(y).dtype)) return {b("pow", {x, cast(b, y, type)})};
  return {cast(b, b("pow", {cast(b, x, b.type(y).dtype), y}), type)};
}

std::vector<ValueId> convert_onnx_mean(Builder& b, const ForeignNode& node) {
  const ValueId sum = onnx::convert_chain<"add">(b, node)[0];
  return {b("div", {sum, b.scalar(static_cast<double>(onnx::inputs(node).size()), b.type(sum).dtype)})};
}

template <Word op>
void lower_onnx(OnnxLowering& l, const Node& node) {
  l.give(node.outputs[0], l.add(op, l.same_type(node.inputs)));
}

void lower_onnx_div(OnnxLowering& l, const Node& node) {
  const std::vector<int> xy = l.same_type(node.inputs);
  const char mode = rounding(node);
  const ValueId out = node.outputs[0];
  const bool floats = is_float(l.graph.type(out).dtype);
  if (mode == ' ' || (mode == 't' && !floats)) return l.give(out, l.add("Div", xy));
  if (mode == 'f' && !floats) return l.give(out, l.add("Div", {l.add("Sub", {xy[0], l.add("Mod", xy)}), xy[1]}));
  const int q = l.add("Div", xy);
  if (mode == 'f') return l.give(out, l.add("Floor", {q}));
  l.give(out, l.add("Mul", {l.add("Sign", {q}), l.add("Floor", {l.add("Abs", {q})})}));
}

// For floats ONNX knows only C's fmod: fmod(fmod(x, y) + y, y) has the sign of y.
void lower_onnx_remainder(OnnxLowering& l, const Node& node) {
  const std::vector<int> xy = l.same_type(node.inputs);
  if (!is_float(l.graph.type(node.outputs[0]).dtype)) return l.give(node.outputs[0], l.add("Mod", xy));
  const OnnxLowering::Attributes as_c = {{"fmod", std::int64_t{1}}};
  l.give(node.outputs[0], l.add("Mod", {l.add("Add", {l.add("Mod", xy, as_c), xy[1]}), xy[1]}, as_c));
}

// Merging layers take two or more.
std::vector<ValueId> convert_keras_merge(Builder& b, const ForeignNode& node) {
  constexpr std::pair<std::string_view, std::string_view> names[] = {{"Add", "add"},      {"Average", "add"},     {"Subtract", "sub"},
                                                                     {"Multiply", "mul"}, {"Maximum", "maximum"}, {"Minimum", "minimum"}};
  const std::vector<ValueId> parts = tfl_in::inputs(node);
  std::string_view op;
  for (const auto& [theirs, ours] : names)
    if (theirs == node.target) op = ours;
  ValueId y = parts.at(0);
  for (std::size_t i = 1; i < parts.size(); ++i) y = b(op, {y, parts[i]});
  if (node.target == "Average") y = b("mul", {y, b.scalar(1.0 / static_cast<double>(parts.size()), b.type(y).dtype)});
  return {y};
}
std::vector<ValueId> convert_keras_rescaling(Builder& b, const ForeignNode& node) {
  ValueId y = tfl_in::input(node, 0);
  if (!is_float(b.type(y).dtype)) y = cast(b, y, DType::float32);
  y = b("mul", {y, b.scalar(number(node, "scale", 1.0), b.type(y).dtype)});
  const double offset = number(node, "offset", 0.0);
  return {offset == 0 ? y : b("add", {y, b.scalar(offset, b.type(y).dtype)})};
}

}  // namespace

OpList binary() {
  static const OpDef defs[] = {
      {.name = "add",
       .doc = "x + y, element by element with broadcasting.",
       .inputs = two,
       .infer = numbers,
       .eval = pairs<([](auto x, auto y) { return modular(x) + modular(y); })>,
       .layout = any,
       .torch = {{"aten.add.Tensor", "", 0, convert_sum<"add", false>},
                 {"aten.add.Scalar", "", 0, convert_sum<"add", false>},
                 {"aten.add_.Tensor", "", 0, convert_sum<"add", false>},
                 {"aten.add_.Scalar", "", 0, convert_sum<"add", false>}},
       .onnx = {{.target = "Add", .convert = convert_onnx<"add">},
                {.target = "Sum", .convert = onnx::convert_chain<"add">},
                {.target = "Mean", .convert = convert_onnx_mean}},
       .tflite_in = {{"ADD", "x=0 y=1 =pot_scale_int16"}, {"ADD_N", "", 0, convert_tflite_add_n}},
       .keras_in = {{"Add", "", 0, convert_keras_merge}, {"Average", "", 0, convert_keras_merge}},
       .tflite = {.builtin = "ADD", .options = "fused_activation_function=#NONE", .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx<"Add">},
       .keras = {.layer = "Add"},
       .source = {"{x} + {y}", "keras.ops.add({x}, {y})", "{x} + {y}"},
       .quant = {QuantRule::own_range},
       .examples = {"add(x: float32[1, 8, 4, 4], y: float32[1, 8, 4, 4])", "add(x: float32[2, 8, 4, 4], y: const float32[8, 1, 1])",
                    "add(x: float32[2, 8, 4, 4], y: float32[4, 4])", "add(x: float32[2, 3], y: 1.5)", "add(x: int64[3], y: int64[2, 1])"}},
      {.name = "sub",
       .doc = "x - y, element by element with broadcasting.",
       .inputs = two,
       .infer = numbers,
       .eval = pairs<([](auto x, auto y) { return modular(x) - modular(y); })>,
       .layout = any,
       .torch = {{"aten.sub.Tensor", "", 0, convert_sum<"sub", false>},
                 {"aten.sub.Scalar", "", 0, convert_sum<"sub", false>},
                 {"aten.sub_.Tensor", "", 0, convert_sum<"sub", false>},
                 {"aten.sub_.Scalar", "", 0, convert_sum<"sub", false>},
                 {"aten.rsub.Tensor", "", 0, convert_sum<"sub", true>},
                 {"aten.rsub.Scalar", "", 0, convert_sum<"sub", true>}},
       .onnx = {{.target = "Sub", .convert = convert_onnx<"sub">}},
       .tflite_in = {{"SUB", "x=0 y=1 =pot_scale_int16"}, {"SQUARED_DIFFERENCE", "", 0, convert_tflite_squared_difference}},
       .keras_in = {{"Subtract", "", 0, convert_keras_merge}},
       .tflite = {.builtin = "SUB", .options = "fused_activation_function=#NONE", .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx<"Sub">},
       .keras = {.layer = "Subtract"},
       .source = {"{x} - {y}", "keras.ops.subtract({x}, {y})", "{x} - {y}"},
       .quant = {QuantRule::own_range},
       .examples = {"sub(x: float32[1, 8, 4, 4], y: float32[1, 8, 1, 1])", "sub(x: 1.0, y: float32[2, 3])"}},
      {.name = "mul",
       .doc = "x * y, element by element with broadcasting.",
       .inputs = two,
       .infer = numbers,
       .eval = pairs<([](auto x, auto y) { return modular(x) * modular(y); })>,
       .flops =
           [](const Graph& g, const Node& n) {
             const Dim count = element_count(g.type(n.outputs[0]).shape);
             return count.known() ? static_cast<double>(count.size()) : 0;
           },
       .layout = any,
       .torch = {{"aten.mul.Tensor", "", 0, convert_mul},
                 {"aten.mul.Scalar", "", 0, convert_mul},
                 {"aten.mul_.Tensor", "", 0, convert_mul},
                 {"aten.mul_.Scalar", "", 0, convert_mul},
                 {"aten.multiply.Tensor", "", 0, convert_mul},
                 {"aten.multiply.Scalar", "", 0, convert_mul}},
       .onnx = {{.target = "Mul", .convert = convert_onnx<"mul">}},
       .keras_in = {{"Multiply", "", 0, convert_keras_merge}, {"Rescaling", "", 0, convert_keras_rescaling}},
       .tflite = {.builtin = "MUL", .options = "fused_activation_function=#NONE", .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx<"Mul">},
       .keras = {.layer = "Multiply"},
       .source = {"{x} * {y}", "keras.ops.multiply({x}, {y})", "{x} * {y}"},
       .quant = {QuantRule::own_range},
       .examples = {"mul(x: float32[1, 8, 4, 4], y: float32[1, 8, 1, 1])", "mul(x: float32[2, 3], y: 0.5)",
                    "mul(x: const float32[5], y: float32[2, 3, 1])", "mul(x: int64[2, 3], y: 3)"}},
      {.name = "div",
       .doc = "x / y, element by element with broadcasting; rounding_mode makes it a whole number.",
       .inputs = two,
       .attrs = {{"rounding_mode",
                  AttrKind::string,
                  None{},
                  "floor: towards minus infinity; trunc: towards zero",
                  {"floor", "trunc"},
                  false,
                  true}},
       .infer = infer_div,
       .eval = eval_div,
       .layout = any,
       .torch = {{"aten.div.Tensor", "", 0, convert_div<"">},
                 {"aten.div.Scalar", "", 0, convert_div<"">},
                 {"aten.div_.Tensor", "", 0, convert_div<"">},
                 {"aten.div_.Scalar", "", 0, convert_div<"">},
                 {"aten.div.Tensor_mode", "", 0, convert_div<"">},
                 {"aten.div.Scalar_mode", "", 0, convert_div<"">},
                 {"aten.true_divide.Tensor", "", 0, convert_div<"">},
                 {"aten.floor_divide.default", "", 0, convert_div<"floor">},
                 {"aten.floor_divide.Scalar", "", 0, convert_div<"floor">}},
       .onnx = {{.target = "Div", .convert = convert_onnx_div}},
       .tflite_in = {{"DIV", "", 0, convert_tflite_div}, {"FLOOR_DIV", "", 0, convert_tflite_floor_div}},
       .tflite = {.lower = lower_div, .integers = "int32 int64 uint64"},
       .onnx_out = {.lower = lower_onnx_div},
       .keras = {.lower = keras_div},
       .source = {.torch = "{x} / {y}", .keras = "keras.ops.divide({x}, {y})", .jax = "{x} / {y}"},
       .source_for = source_of_div,
       .quant = {QuantRule::own_range},
       .examples = {"div(x: float32[1, 8, 4, 4], y: float32[1, 8, 1, 1] in 0.5..2)", "div(x: float32[2, 3], y: 0.3, rounding_mode: floor)",
                    "div(x: float32[2, 3], y: 0.3, rounding_mode: trunc)", "div(x: int32[2, 3] in -9..9, y: 2, rounding_mode: floor)",
                    "div(x: int64[2, 3] in -99..99, y: int64[3] in 1..9, rounding_mode: floor)"}},
      {.name = "remainder",
       .doc = "What is left of x after division by y, with the sign of y.",
       .inputs = two,
       .infer = numbers,
       .eval = pairs<([](auto x, auto y) { return floor_mod(x, static_cast<decltype(x)>(y)); })>,
       .layout = any,
       .torch = {{"aten.remainder.Tensor", "", 0, convert_pair<"remainder">}, {"aten.remainder.Scalar", "", 0, convert_pair<"remainder">}},
       .onnx = {{.target = "Mod", .convert = convert_onnx_mod}},
       .tflite_in = {{"FLOOR_MOD", "x=0 y=1"}},
       .tflite = {.builtin = "FLOOR_MOD", .lower = lower_remainder, .integers = "int32 int64 uint64"},
       .onnx_out = {.lower = lower_onnx_remainder},
       .keras = {.layer = "ops.numpy.Mod"},
       .source = {"torch.remainder({x}, {y})", "keras.ops.mod({x}, {y})", "jnp.mod({x}, {y})"},
       .examples = {"remainder(x: float32[2, 3], y: 0.7)", "remainder(x: int64[6], y: 4)"}},
      {.name = "maximum",
       .doc = "The larger of x and y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer::broadcast,
       .eval = pairs<([](auto x, auto y) { return x > y || x != x ? x : y; })>,
       .layout = any,
       .torch = {{"aten.maximum.default", "", 0, convert_pair<"maximum">}, {"aten.max.other", "", 0, convert_pair<"maximum">}},
       .onnx = {{.target = "Max", .convert = onnx::convert_chain<"maximum">}},
       .keras_in = {{"Maximum", "", 0, convert_keras_merge}},
       .tflite = {.builtin = "MAXIMUM", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"Max">},
       .keras = {.layer = "Maximum"},
       .source = {.torch = "torch.maximum({x}, {y})", .keras = "keras.ops.maximum({x}, {y})", .jax = "jnp.maximum({x}, {y})"},
       .source_for = source_of_extreme<true>,
       .quant = {QuantRule::same_scale},
       .examples = {"maximum(x: float32[1, 8, 4, 4], y: float32[8, 1, 1])"}},
      {.name = "minimum",
       .doc = "The smaller of x and y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer::broadcast,
       .eval = pairs<([](auto x, auto y) { return x < y || x != x ? x : y; })>,
       .layout = any,
       .torch = {{"aten.minimum.default", "", 0, convert_pair<"minimum">}, {"aten.min.other", "", 0, convert_pair<"minimum">}},
       .onnx = {{.target = "Min", .convert = onnx::convert_chain<"minimum">}},
       .keras_in = {{"Minimum", "", 0, convert_keras_merge}},
       .tflite = {.builtin = "MINIMUM", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"Min">},
       .keras = {.layer = "Minimum"},
       .source = {.torch = "torch.minimum({x}, {y})", .keras = "keras.ops.minimum({x}, {y})", .jax = "jnp.minimum({x}, {y})"},
       .source_for = source_of_extreme<false>,
       .quant = {QuantRule::same_scale},
       .examples = {"minimum(x: float32[1, 8, 4, 4], y: float32[8, 1, 1])"}},
      {.name = "pow",
       .doc = "x to the power of y, element by element with broadcasting.",
       .inputs = two,
       .infer = numbers,
       .eval = pairs<([](auto x, auto y) { return power(x, static_cast<decltype(x)>(y)); })>,
       .layout = any,
       .torch = {{"aten.pow.Tensor_Scalar", "", 0, convert_pow},
                 {"aten.pow.Tensor_Tensor", "", 0, convert_pow},
                 {"aten.pow.Scalar", "", 0, convert_pow},
                 {"aten.pow_.Scalar", "", 0, convert_pow}},
       .onnx = {{.target = "Pow", .convert = convert_onnx_pow}},
       .tflite_in = {{"POW", "x=0 y=1"}},
       .tflite = {.lower = lower_pow, .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx<"Pow">},
       .keras = {.layer = "ops.numpy.Power"},
       .source = {"{x}**{y}", "keras.ops.power({x}, {y})", "{x}**{y}"},
       .quant = {QuantRule::own_range},
       .examples = {"pow(x: float32[2, 3], y: 2.0)", "pow(x: float32[2, 3] in 0.1..2, y: float32[3])", "pow(x: 2.0, y: float32[4])",
                    "pow(x: float32[5] in 0.1..3, y: 0.5)", "pow(x: int64[2, 3] in -9..9, y: int64[3] in 0..9)"}},
  };
  return defs;
}

}  // namespace wherry::ops
