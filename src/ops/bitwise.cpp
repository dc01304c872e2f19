// Integers bit by bit.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/integers_64.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"

namespace wherry::ops {

namespace {

constexpr LayoutRule any{LayoutRule::any};
const std::vector<Input> two = {{"x", "the first operand"}, {"y", "the second; shapes broadcast, a number stands for a scalar constant"}};

void needs_integers(const OpTypes& t) {
  for (const Type* type : t.inputs)
    if (type && !is_integer(type->dtype))
      infer::fault(fmt::format("{} takes integers, not {}", t.node.op->name, name(type->dtype)), "E502");
}

std::vector<Type> infer_pair(const OpTypes& t) {
  needs_integers(t);
  return infer::broadcast(t);
}

std::vector<Type> infer_one(const OpTypes& t) {
  needs_integers(t);
  return {t["x"]};
}

// with_type also offers floats, which infer has refused.
template <auto f>
void pairs(OpValues& v) {
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) map_pairs<T, T>(v, v.out().dtype(), [](T x, T y) { return static_cast<T>(f(x, y)); });
  });
}

// By less than no or by all bits: what is left is the sign, or zero.
template <class T>
bool within(T by) {
  return by >= T(0) && by < static_cast<T>(8 * sizeof(T));
}
template <class T>
T left(T x, T by) {
  return within(by) ? static_cast<T>(static_cast<std::make_unsigned_t<T>>(x) << by) : T(0);
}
template <class T>
T right(T x, T by) {
  return within(by) ? static_cast<T>(x >> by) : static_cast<T>(x < T(0) ? -1 : 0);
}

// All bits of x's type.
ValueId ones(Builder& b, DType type) { return b.constant(Tensor::scalar(-1, DType::int64).cast(type)); }

std::vector<ValueId> expand_not(Builder& b, const Node& node) {
  return {b("bitwise_xor", {node.inputs[0], ones(b, b.type(node.inputs[0]).dtype)})};
}

// ---- TensorFlow Lite: exclusive or, and a shift to the right; the rest by arithmetic ----

// x + y = (x ^ y) + 2 (x & y): what both have is half of what the sum has more.
int both_bits(TflLowering& l, const std::vector<int>& xy, const Type& type) {
  const int more = tfl::binary(l, "SUB", tfl::binary(l, "ADD", xy[0], xy[1], type), l.add("BITWISE_XOR", xy, type), type);
  return tfl::binary(l, "DIV", more, l.constant(Tensor::scalar(2, DType::int32)), type);
}

// The same of 32 bits, whose sum may not fit: the upper bits in halves, twice what these share; the last one by itself.
int both_of_32_bits(TflLowering& l, const std::vector<int>& xy, const Type& type) {
  const int one = l.constant(Tensor::scalar(1, DType::int32));
  std::vector<int> halves, last;
  for (const int side : xy) {
    const Type own{DType::int32, to_shape(l.tensor(side).sizes)};
    halves.push_back(l.add("RIGHT_SHIFT", {side, one}, own));
    last.push_back(tfl::binary(l, "SUB", side, tfl::binary(l, "ADD", halves.back(), halves.back(), own), own));
  }
  const int sum = tfl::binary(l, "ADD", halves[0], halves[1], type);
  const int upper = tfl::binary(l, "SUB", sum, l.add("BITWISE_XOR", halves, type), type);
  return tfl::binary(l, "ADD", upper, tfl::binary(l, "MUL", last[0], last[1], type), type);
}

// x & y or x | y of int32; narrow: of numbers that 16 bits hold.
int and_or(TflLowering& l, bool both, bool narrow, const std::vector<int>& xy, const Type& type) {
  const int shared = narrow ? both_bits(l, xy, type) : both_of_32_bits(l, xy, type);
  return both ? shared : tfl::binary(l, "ADD", shared, l.add("BITWISE_XOR", xy, type), type);
}

// An operator of int32 on both halves of integers of 64 bits.
template <class Op>
int on_halves(TflLowering& l, const std::vector<int>& xy, const Type& type, Op op) {
  Type halves{DType::int32, type.shape};
  halves.shape.push_back(2);
  return tfl::from_halves(l, op({tfl::halves(l, xy[0]), tfl::halves(l, xy[1])}, halves));
}

template <bool both>
void lower_and_or(TflLowering& l, const Node& node) {
  Order order;
  const std::vector<int> given = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order), wide{DType::int32, type.shape};
  if (type.dtype == DType::int64) {
    const auto op = [&](const std::vector<int>& xy, const Type& halves) { return and_or(l, both, false, xy, halves); };
    return l.give(node.outputs[0], on_halves(l, given, type, op), order);
  }
  if (type.dtype == DType::int32) return l.give(node.outputs[0], and_or(l, both, false, given, type), order);
  std::vector<int> xy;
  for (const int side : given) xy.push_back(l.add("CAST", {side}, {DType::int32, to_shape(l.tensor(side).sizes)}));
  l.give(node.outputs[0], l.add("CAST", {and_or(l, both, true, xy, wide)}, type), order);
}

void lower_xor(TflLowering& l, const Node& node) {
  Order order;
  const std::vector<int> given = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order);
  const auto op = [&](const std::vector<int>& xy, const Type& halves) { return l.add("BITWISE_XOR", xy, halves); };
  l.give(node.outputs[0], type.dtype == DType::int64 ? on_halves(l, given, type, op) : op(given, type), order);
}

// To the left by numbers that are known: times a power of two.
void lower_left(TflLowering& l, const Node& node) {
  const ValueId by = node.inputs[1];
  if (!l.graph.is_constant(by)) l.refuse(node, "TFLite shifts to the left only by numbers that are known");
  Order order;
  std::vector<int> xy = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order);
  std::vector<std::int64_t> factors;
  const Tensor known = l.tensor(xy[1]).constant->contiguous();
  for (const std::int64_t n : known.to_ints()) factors.push_back(n >= 0 && n < bits(type.dtype) ? std::int64_t{1} << n : 0);
  const int powers = l.constant(Tensor::from(factors, known.sizes()).cast(type.dtype));
  l.give(node.outputs[0], tfl::binary(l, "MUL", xy[0], powers, type), order);
}

// By less than no or by all bits the kernel does not say what it gives: the sign then, or zero.
void lower_right(TflLowering& l, const Node& node) {
  Order order;
  const std::vector<int> xy = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order), by{DType::int32, to_shape(l.tensor(xy[1]).sizes)};
  if (type.dtype == DType::int64) return l.give(node.outputs[0], tfl::shift_right_64(l, xy[0], xy[1], true), order);
  if (type.dtype == DType::uint64) {
    const int y = tfl::shift_right_64(l, tfl::as_signed(l, xy[0]), tfl::as_signed(l, xy[1]), false);
    return l.give(node.outputs[0], tfl::as_unsigned(l, y), order);
  }
  const auto number = [&](double value) { return l.constant(Tensor::scalar(value, DType::int32)); };
  const int last = number(bits(type.dtype) - 1), given = l.add("CAST", {xy[1]}, by);
  const Type truth{DType::boolean, by.shape};
  const int far = l.add("LOGICAL_OR", {l.add("LESS", {given, number(0)}, truth), l.add("GREATER", {given, last}, truth)}, truth);
  const int within = l.add("CAST", {l.add("SELECT_V2", {far, last, given}, by)}, {type.dtype, by.shape});
  int y = l.add("RIGHT_SHIFT", {xy[0], within}, type);
  if (!is_signed(type.dtype)) y = l.add("SELECT_V2", {far, l.constant(Tensor::scalar(0, type.dtype)), y}, type);
  l.give(node.outputs[0], y, order);
}

// ---- PyTorch and ONNX ----

template <Word op>
std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  return {b(op, promoted(b, node, {"self", "other"}))};
}

std::vector<ValueId> convert_onnx_shift(Builder& b, const ForeignNode& node) {
  const std::string direction = word(node, "direction", "");
  if (direction != "LEFT" && direction != "RIGHT") refuse(node, fmt::format("direction '{}' of 'BitShift' is not known", direction));
  return {b(direction == "LEFT" ? "bitwise_left_shift" : "bitwise_right_shift", {onnx::required(node, 0), onnx::required(node, 1)})};
}

template <Word op>
void lower_onnx(OnnxLowering& l, const Node& node) {
  if (l.opset < 18) l.refuse(node, "bits are brought together since opset 18");
  l.give(node.outputs[0], l.add(op, l.same_type(node.inputs)));
}

void lower_onnx_not(OnnxLowering& l, const Node& node) {
  const int x = l[node.inputs[0]];
  if (l.opset >= 18) return l.give(node.outputs[0], l.add("BitwiseNot", {x}));
  const DType type = l.graph.type(node.inputs[0]).dtype;  // all bits, minus those that are set
  l.give(node.outputs[0], l.add("Sub", {l.constant(Tensor::scalar(-1, DType::int64).cast(type)), x}));
}

// Integers with a sign: products and rounded quotients of powers of two, for shifts by less than all bits.
template <bool to_left>
void lower_onnx_shift(OnnxLowering& l, const Node& node) {
  const std::vector<int> xy = l.same_type(node.inputs);
  const DType type = l.graph.type(node.outputs[0]).dtype;
  if (!is_signed(type)) return l.give(node.outputs[0], l.add("BitShift", xy, {{"direction", std::string(to_left ? "LEFT" : "RIGHT")}}));
  const int power = l.add("Pow", {l.scalar(2, type), xy[1]});
  if (to_left) return l.give(node.outputs[0], l.add("Mul", {xy[0], power}));
  l.give(node.outputs[0], l.add("Div", {l.add("Sub", {xy[0], l.add("Mod", {xy[0], power})}), power}));
}

// Keras's take no number: a tensor of one, which broadcasts.
template <Word layer>
void keras_pair(KerasLowering& k, const Node& node) {
  Order order;
  std::vector<int> xy = k.same_order(node.inputs, order);
  const Type type = ordered(k.graph.type(node.outputs[0]), order);
  for (std::size_t i = 0; i < xy.size(); ++i)
    if (k.graph.is_constant(node.inputs[i]) && k.graph.type(node.inputs[i]).shape.empty())
      xy[i] = k.constant(k.graph[node.inputs[i]].constant->cast(type.dtype).reshaped({1}));
  k.give(node.outputs[0], k.add(layer, {KerasRef{xy[0]}, KerasRef{xy[1]}}, type), order);
}

OpDef pair(std::string_view name, std::string_view doc, EvalFn eval, std::vector<ForeignMap> torch, std::vector<ForeignMap> onnx,
           TflSlot tflite, OnnxSlot onnx_out, KerasSlot keras, SourceSlot source, std::vector<std::string_view> examples) {
  return {.name = name,
          .doc = doc,
          .inputs = two,
          .infer = infer_pair,
          .eval = eval,
          .layout = any,
          .torch = std::move(torch),
          .onnx = std::move(onnx),
          .tflite = tflite,
          .onnx_out = onnx_out,
          .keras = keras,
          .source = std::move(source),
          .examples = std::move(examples)};
}

constexpr std::string_view in_64 = "int8 uint8 int16 uint16 int32 int64";
constexpr auto same_bits = TflSlot::same_bits;

std::vector<OpDef> rows() {
  std::vector<OpDef> defs = {
      pair("bitwise_and", "The bits that both x and y have, element by element with broadcasting.",
           pairs<([](auto x, auto y) { return x & y; })>,
           {{"aten.bitwise_and.Scalar", "", 0, convert<"bitwise_and">}, {"aten.__and__.Scalar", "", 0, convert<"bitwise_and">}},
           {{"BitwiseAnd", "x=0 y=1", 18}}, {.lower = lower_and_or<true>, .integers = in_64, .uint64 = same_bits},
           {.lower = lower_onnx<"BitwiseAnd">}, {.lower = keras_pair<"ops.numpy.BitwiseAnd">},
           {"torch.bitwise_and({x}, {y})", "keras.ops.bitwise_and({x}, {y})", "jnp.bitwise_and({x}, {y})"},
           {"bitwise_and(x: uint8[2, 5] in 0..255, y: 15)", "bitwise_and(x: int32[2, 5] in -99..99, y: int32[5] in -99..99)",
            "bitwise_and(x: int64[2, 5] in -99..99, y: int64[5] in -99..99)"}),
      pair("bitwise_or", "The bits that x or y has, element by element with broadcasting.", pairs<([](auto x, auto y) { return x | y; })>,
           {{"aten.bitwise_or.Scalar", "", 0, convert<"bitwise_or">}, {"aten.__or__.Scalar", "", 0, convert<"bitwise_or">}},
           {{"BitwiseOr", "x=0 y=1", 18}}, {.lower = lower_and_or<false>, .integers = in_64, .uint64 = same_bits},
           {.lower = lower_onnx<"BitwiseOr">}, {.lower = keras_pair<"ops.numpy.BitwiseOr">},
           {"torch.bitwise_or({x}, {y})", "keras.ops.bitwise_or({x}, {y})", "jnp.bitwise_or({x}, {y})"},
           {"bitwise_or(x: int16[2, 5] in -99..99, y: int16[5] in -99..99)"}),
      pair("bitwise_xor", "The bits that just one of x and y has, element by element with broadcasting.",
           pairs<([](auto x, auto y) { return x ^ y; })>,
           {{"aten.bitwise_xor.Scalar", "", 0, convert<"bitwise_xor">}, {"aten.__xor__.Scalar", "", 0, convert<"bitwise_xor">}},
           {{"BitwiseXor", "x=0 y=1", 18}},
           {.builtin = "BITWISE_XOR", .lower = lower_xor, .integers = "int8 uint8 int16 uint16 int32 uint32 int64", .uint64 = same_bits},
           {.lower = lower_onnx<"BitwiseXor">}, {.lower = keras_pair<"ops.numpy.BitwiseXor">},
           {"torch.bitwise_xor({x}, {y})", "keras.ops.bitwise_xor({x}, {y})", "jnp.bitwise_xor({x}, {y})"},
           {"bitwise_xor(x: int32[2, 5] in -99..99, y: int32[5] in -99..99)"}),
      pair("bitwise_left_shift", "x with its bits moved y places to the left; none are left after as many places as there are bits.",
           pairs<([](auto x, auto y) { return left(x, y); })>,
           {{"aten.bitwise_left_shift.Tensor", "", 0, convert<"bitwise_left_shift">},
            {"aten.bitwise_left_shift.Tensor_Scalar", "", 0, convert<"bitwise_left_shift">},
            {"aten.__lshift__.Scalar", "", 0, convert<"bitwise_left_shift">},
            {"aten.__lshift__.Tensor", "", 0, convert<"bitwise_left_shift">}},
           {{.target = "BitShift", .convert = convert_onnx_shift}}, {.lower = lower_left, .integers = "int32 int64", .uint64 = same_bits},
           {.lower = lower_onnx_shift<true>}, {.lower = keras_pair<"ops.numpy.BitwiseLeftShift">},
           {"torch.bitwise_left_shift({x}, {y})", "keras.ops.bitwise_left_shift({x}, {y})", "jnp.left_shift({x}, {y})"},
           {"bitwise_left_shift(x: int32[2, 5] in -99..99, y: 3)"}),
      pair("bitwise_right_shift", "x with its bits moved y places to the right; the sign stays.",
           pairs<([](auto x, auto y) { return right(x, y); })>,
           {{"aten.bitwise_right_shift.Tensor", "", 0, convert<"bitwise_right_shift">},
            {"aten.bitwise_right_shift.Tensor_Scalar", "", 0, convert<"bitwise_right_shift">},
            {"aten.__rshift__.Scalar", "", 0, convert<"bitwise_right_shift">},
            {"aten.__rshift__.Tensor", "", 0, convert<"bitwise_right_shift">}},
           {}, {.lower = lower_right, .integers = "int8 uint8 int16 uint16 int32 uint32 int64 uint64"}, {.lower = lower_onnx_shift<false>},
           {.lower = keras_pair<"ops.numpy.BitwiseRightShift">},
           {"torch.bitwise_right_shift({x}, {y})", "keras.ops.bitwise_right_shift({x}, {y})", "jnp.right_shift({x}, {y})"},
           {"bitwise_right_shift(x: int32[2, 5] in -99..99, y: int32[5] in 0..6)",
            "bitwise_right_shift(x: int64[2, 5] in -99..99, y: int64[5] in 0..6)"})};
  defs[2].tflite_in = {{"BITWISE_XOR", "x=0 y=1"}};
  defs[4].tflite_in = {{"RIGHT_SHIFT", "x=0 y=1"}};
  defs.push_back({.name = "bitwise_not",
                  .doc = "The bits that x does not have, element by element.",
                  .inputs = {{"x", "any tensor of integers"}},
                  .infer = infer_one,
                  .expand = expand_not,
                  .layout = any,
                  .onnx = {{"BitwiseNot", "x=0", 18}},
                  .onnx_out = {.lower = lower_onnx_not},
                  .keras = {.layer = "ops.numpy.BitwiseNot"},
                  .source = {"torch.bitwise_not({x})", "keras.ops.bitwise_not({x})", "jnp.bitwise_not({x})"},
                  .examples = {"bitwise_not(x: int32[2, 5] in -9..9)"}});
  return defs;
}

}  // namespace

OpList bitwise() {
  static const std::vector<OpDef> defs = rows();
  return defs;
}

}  // namespace wherry::ops
