// Functions of angles and hyperbolic ones, and their inverses, element by element. One row each.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"

#include <numbers>

namespace wherry::ops {

namespace {

const std::vector<Input> floats = {{"x", "any float tensor"}};

// What the expansions are written with.
struct Terms {
  Builder& b;
  DType type;
  ValueId number(double value) const { return b.scalar(value, type); }
  ValueId sum(ValueId x, ValueId y) const { return b("add", {x, y}); }
  ValueId difference(ValueId x, ValueId y) const { return b("sub", {x, y}); }
  ValueId product(ValueId x, ValueId y) const { return b("mul", {x, y}); }
};

Terms terms(Builder& b, const Node& node) { return {b, b.type(node.inputs[0]).dtype}; }

std::vector<ValueId> expand_tan(Builder& b, const Node& node) {
  return {b("div", {b("sin", {node.inputs[0]}), b("cos", {node.inputs[0]})})};
}

// (exp(x) ± exp(-x)) / 2
template <Word op>
std::vector<ValueId> expand_hyperbolic(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {terms(b, node).product(b(op, {b("exp", {x}), b("exp", {b("neg", {x})})}), terms(b, node).number(0.5))};
}

// sign(x) log(|x| + sqrt(x² + 1))
std::vector<ValueId> expand_asinh(Builder& b, const Node& node) {
  const Terms t = terms(b, node);
  const ValueId x = node.inputs[0], root = b("sqrt", {t.sum(b("square", {x}), t.number(1))});
  return {t.product(b("sign", {x}), b("log", {t.sum(b("abs", {x}), root)}))};
}

// log(x + sqrt((x - 1) (x + 1)))
std::vector<ValueId> expand_acosh(Builder& b, const Node& node) {
  const Terms t = terms(b, node);
  const ValueId x = node.inputs[0], one = t.number(1);
  return {b("log", {t.sum(x, b("sqrt", {t.product(t.difference(x, one), t.sum(x, one))}))})};
}

// log((1 + x) / (1 - x)) / 2
std::vector<ValueId> expand_atanh(Builder& b, const Node& node) {
  const Terms t = terms(b, node);
  const ValueId x = node.inputs[0], one = t.number(1);
  return {t.product(b("log", {b("div", {t.sum(one, x), t.difference(one, x)})}), t.number(0.5))};
}

// sqrt(1 - x²), and 1, as far as atan2 wants them beside x.
ValueId beside(Builder& b, const Node& node) {
  const Terms t = terms(b, node);
  const ValueId x = node.inputs[0], one = t.number(1);
  return b("sqrt", {t.product(t.difference(one, x), t.sum(one, x))});
}
std::vector<ValueId> expand_asin(Builder& b, const Node& node) { return {b("atan2", {node.inputs[0], beside(b, node)})}; }
std::vector<ValueId> expand_acos(Builder& b, const Node& node) { return {b("atan2", {beside(b, node), node.inputs[0]})}; }
std::vector<ValueId> expand_atan(Builder& b, const Node& node) { return {b("atan2", {node.inputs[0], terms(b, node).number(1)})}; }

void eval_atan2(OpValues& v) {
  with_float(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_pairs<T, T>(v, v.out().dtype(), [](T y, T x) { return std::atan2(y, x); });
  });
}

std::vector<Type> infer_atan2(const OpTypes& t) {
  infer::needs_float(t, "y");
  return infer::broadcast(t);
}

// ATAN2 wants both sides of one shape.
void lower_atan2(TflLowering& l, const Node& node) {
  Order order;
  std::vector<int> sides = l.same_order(node.inputs, order);
  const Type type = ordered(l.graph.type(node.outputs[0]), order);
  for (int& side : sides)
    if (l.tensor(side).sizes != sizes(type.shape)) side = l.add("BROADCAST_TO", {side, tfl::int32s(l, sizes(type.shape))}, type);
  l.give(node.outputs[0], l.add("ATAN2", sides, type), order);
}

// atan(y / x), and half a turn more where x is below zero; 0 / 0 counts as 0.
void lower_onnx_atan2(OnnxLowering& l, const Node& node) {
  const std::vector<int> yx = l.same_type(node.inputs);
  const DType type = l.graph.type(node.outputs[0]).dtype;
  const auto number = [&](double value) { return l.scalar(value, type); };
  const int zero = number(0), both = l.add("And", {l.add("Equal", {yx[0], zero}), l.add("Equal", {yx[1], zero})});
  const int angle = l.add("Where", {both, zero, l.add("Atan", {l.add("Div", yx)})});
  const int half = l.add("Where", {l.add("Less", {yx[0], zero}), number(-std::numbers::pi), number(std::numbers::pi)});
  const int more = l.add("Where", {l.add("Less", {yx[1], zero}), half, zero});
  l.give(node.outputs[0], l.add("Add", {angle, more}));
}

OpDef row(std::string_view name, std::string_view doc, EvalFn eval, ExpandFn expand, std::vector<ForeignMap> torch, std::string_view onnx,
          std::string_view keras, SourceSlot source, std::string_view example) {
  return {.name = name,
          .doc = doc,
          .inputs = floats,
          .infer = infer::float_same_as_first,
          .eval = eval,
          .expand = expand,
          .layout = {LayoutRule::any},
          .torch = std::move(torch),
          .onnx = {{onnx, "x=0"}},
          .onnx_out = {.op = onnx},
          .keras = {.layer = keras},
          .source = std::move(source),
          .quant = {QuantRule::own_range},
          .examples = {example}};
}

std::vector<OpDef> rows() {
  std::vector<OpDef> defs = {
      row("tan", "The tangent, x in radians, element by element.", each_float<([](auto x) { return std::tan(x); })>, expand_tan,
          {{"aten.tan.default", "x=self"}, {"aten.tan_.default", "x=self"}}, "Tan", "ops.numpy.Tan",
          {"torch.tan({x})", "keras.ops.tan({x})", "jnp.tan({x})"}, "tan(x: float32[2, 5] in -1.2..1.2)"),
      row("asin", "The angle whose sine is x, in radians, element by element.", each_float<([](auto x) { return std::asin(x); })>,
          expand_asin, {{"aten.asin.default", "x=self"}, {"aten.asin_.default", "x=self"}}, "Asin", "ops.numpy.Arcsin",
          {"torch.asin({x})", "keras.ops.arcsin({x})", "jnp.arcsin({x})"}, "asin(x: float32[2, 5] in -1..1)"),
      row("acos", "The angle whose cosine is x, in radians, element by element.", each_float<([](auto x) { return std::acos(x); })>,
          expand_acos, {{"aten.acos.default", "x=self"}, {"aten.acos_.default", "x=self"}}, "Acos", "ops.numpy.Arccos",
          {"torch.acos({x})", "keras.ops.arccos({x})", "jnp.arccos({x})"}, "acos(x: float32[2, 5] in -1..1)"),
      row("atan", "The angle whose tangent is x, in radians, element by element.", each_float<([](auto x) { return std::atan(x); })>,
          expand_atan, {{"aten.atan.default", "x=self"}, {"aten.atan_.default", "x=self"}}, "Atan", "ops.numpy.Arctan",
          {"torch.atan({x})", "keras.ops.arctan({x})", "jnp.arctan({x})"}, "atan(x: float32[2, 5] in -9..9)"),
      row("sinh", "The hyperbolic sine, element by element.", each_float<([](auto x) { return std::sinh(x); })>, expand_hyperbolic<"sub">,
          {{"aten.sinh.default", "x=self"}, {"aten.sinh_.default", "x=self"}}, "Sinh", "ops.numpy.Sinh",
          {"torch.sinh({x})", "keras.ops.sinh({x})", "jnp.sinh({x})"}, "sinh(x: float32[2, 5] in -3..3)"),
      row("cosh", "The hyperbolic cosine, element by element.", each_float<([](auto x) { return std::cosh(x); })>, expand_hyperbolic<"add">,
          {{"aten.cosh.default", "x=self"}, {"aten.cosh_.default", "x=self"}}, "Cosh", "ops.numpy.Cosh",
          {"torch.cosh({x})", "keras.ops.cosh({x})", "jnp.cosh({x})"}, "cosh(x: float32[2, 5] in -3..3)"),
      row("asinh", "The inverse of sinh, element by element.", each_float<([](auto x) { return std::asinh(x); })>, expand_asinh,
          {{"aten.asinh.default", "x=self"}, {"aten.asinh_.default", "x=self"}}, "Asinh", "ops.numpy.Arcsinh",
          {"torch.asinh({x})", "keras.ops.arcsinh({x})", "jnp.arcsinh({x})"}, "asinh(x: float32[2, 5] in -9..9)"),
      row("acosh", "The inverse of cosh for x from 1, element by element.", each_float<([](auto x) { return std::acosh(x); })>,
          expand_acosh, {{"aten.acosh.default", "x=self"}, {"aten.acosh_.default", "x=self"}}, "Acosh", "ops.numpy.Arccosh",
          {"torch.acosh({x})", "keras.ops.arccosh({x})", "jnp.arccosh({x})"}, "acosh(x: float32[2, 5] in 1.1..9)"),
      row("atanh", "The inverse of tanh for x between -1 and 1, element by element.", each_float<([](auto x) { return std::atanh(x); })>,
          expand_atanh, {{"aten.atanh.default", "x=self"}, {"aten.atanh_.default", "x=self"}}, "Atanh", "ops.numpy.Arctanh",
          {"torch.atanh({x})", "keras.ops.arctanh({x})", "jnp.arctanh({x})"}, "atanh(x: float32[2, 5] in -0.9..0.9)")};
  defs.push_back({.name = "atan2",
                  .doc = "The angle of the point (x, y) in radians, element by element with broadcasting.",
                  .inputs = {{"y", "how far up the point is"}, {"x", "how far to the right"}},
                  .infer = infer_atan2,
                  .eval = eval_atan2,
                  .layout = {LayoutRule::any},
                  .torch = {{"aten.atan2.default", "y=self x=other"}},
                  .tflite_in = {{"ATAN2", "y=0 x=1"}},
                  .tflite = {.lower = lower_atan2},
                  .onnx_out = {.lower = lower_onnx_atan2},
                  .keras = {.layer = "ops.numpy.Arctan2"},
                  .source = {"torch.atan2({y}, {x})", "keras.ops.arctan2({y}, {x})", "jnp.arctan2({y}, {x})"},
                  .quant = {QuantRule::own_range},
                  .examples = {"atan2(y: float32[2, 5], x: float32[2, 5])", "atan2(y: float32[2, 1, 4], x: float32[3, 1])"}});
  return defs;
}

}  // namespace

OpList trigonometry() {
  static const std::vector<OpDef> defs = rows();
  return defs;
}

}  // namespace wherry::ops
