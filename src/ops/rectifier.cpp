// Activation functions made of straight lines: each element by itself.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/tflite_in.h"

#include <limits>

namespace wherry::ops {

namespace {

const std::vector<Input> one = {{"x", "any float tensor"}};
constexpr LayoutRule any{LayoutRule::any};
constexpr InferFn same = infer::float_same_as_first;

// The ends between which clamp and hardtanh keep x; infinite where there is none.
struct Limits {
  double low, high;
};
Limits limits_of(const Node& node) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (node.op->attr_index("min") < 0) return {node.number("min_val"), node.number("max_val")};
  return {node.is_none("min") ? -infinite : node.number("min"), node.is_none("max") ? infinite : node.number("max")};
}

void eval_limits(OpValues& v) {
  const Limits limits = limits_of(v.node);
  map_numbers(v, [limits](auto x) {
    using T = decltype(x);
    if (x != x) return x;
    if (static_cast<double>(x) < limits.low) x = static_cast<T>(limits.low);
    return static_cast<double>(x) > limits.high ? static_cast<T>(limits.high) : x;
  });
}

void lower_limits(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Limits limits = limits_of(node);
  const Order order = l.order(x);
  const Type type = ordered(l.graph.type(out), order);
  int tensor = l.as_is(x);
  const auto give = [&](std::string_view builtin) { l.give(out, l.add(builtin, {tensor}, type), order); };
  if (is_float(type.dtype)) {
    if (limits.low == 0 && limits.high == 6) return give("RELU6");
    if (limits.low == -1 && limits.high == 1) return give("RELU_N1_TO_1");
    if (limits.low == 0 && std::isinf(limits.high)) return give("RELU");
  }
  if (!std::isinf(limits.low)) tensor = l.add("MAXIMUM", {tensor, l.constant(Tensor::scalar(limits.low, type.dtype))}, type);
  if (!std::isinf(limits.high)) tensor = l.add("MINIMUM", {tensor, l.constant(Tensor::scalar(limits.high, type.dtype))}, type);
  l.give(out, tensor, order);
}

// A limit that is not whole makes integers floats.
// PyTorch's ReLU6 modules are exported as what they are built on.
std::vector<ValueId> convert_hardtanh(Builder& b, const ForeignNode& node) {
  const double least = number(node, "min_val", -1), greatest = number(node, "max_val", 1);
  if (least == 0 && greatest == 6) return {b("relu6", {node.value("self")})};
  return {b("hardtanh", {node.value("self")}, {{"min_val", least}, {"max_val", greatest}})};
}

std::vector<ValueId> convert_clamp(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  std::vector<NamedAttr> attrs;
  for (const std::string_view end : {"min", "max"}) {
    if (!given(node, end)) continue;
    const Attr* attr = node.attr(end);
    if (!attr) refuse(node, fmt::format("'{}' with a computed {} is not known: write maximum and minimum", node.target, end));
    if (std::holds_alternative<double>(*attr) && !is_float(b.type(x).dtype)) x = cast(b, x, DType::float32);
    attrs.push_back({end, number(node, end)});
  }
  return {b("clamp", {x}, std::move(attrs))};
}

std::vector<ValueId> convert_clamp_tensor(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  if (given(node, "min")) x = b("maximum", {x, cast(b, node.value("min"), b.type(x).dtype)});
  if (given(node, "max")) x = b("minimum", {x, cast(b, node.value("max"), b.type(x).dtype)});
  return {x};
}

void eval_leaky(OpValues& v) {
  const double slope = v.node.number("negative_slope");
  map_floats(v, [slope](auto x) { return x > 0 ? x : x * static_cast<decltype(x)>(slope); });
}

std::vector<ValueId> expand_hardsigmoid(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const DType type = b.type(x).dtype;
  return {b("mul", {b("relu6", {b("add", {x, b.scalar(3, type)})}), b.scalar(1.0 / 6, type)})};
}

std::vector<ValueId> convert_tflite_relu_0_to_1(Builder& b, const ForeignNode& node) {
  return {b("hardtanh", {tfl_in::input(node, 0)}, {{"min_val", 0.0}, {"max_val", 1.0}})};
}

void source_of_clamp(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  if (is_float(graph.type(nodes[0]->inputs[0]).dtype)) return;
  slot.torch = "torch.clamp({x}, min={min?}, max={max?}).type_as({x})";
  slot.jax = "jnp.clip({x}, {min}, {max}).astype({x}.dtype)";
}

void keras_limits(KerasLowering& k, const Node& node) {
  const Limits limits = limits_of(node);
  const bool low = !std::isinf(limits.low), high = !std::isinf(limits.high);
  const bool whole = !is_float(k.graph.type(node.inputs[0]).dtype);
  if (!whole && limits.low == 0)
    return keras::lower_each(k, node, "ReLU",
                             high ? std::vector<KerasEntry>{{"max_value", Attr(double(limits.high))}} : std::vector<KerasEntry>{});
  const auto number = [&](double value) { return whole ? Attr(static_cast<std::int64_t>(value)) : Attr(value); };
  if (low && high) return keras::lower_each(k, node, "ops.numpy.Clip", {{"x_min", number(limits.low)}, {"x_max", number(limits.high)}});
  const std::vector<int> order = k.order(node.inputs[0]);
  const Type type = ordered(k.graph.type(node.outputs[0]), order);
  int x = k.as_is(node.inputs[0]);
  if (low || high)
    x = keras::binary(k, low ? "Maximum" : "Minimum", x, k.constant(Tensor::scalar(low ? limits.low : limits.high, type.dtype)), type);
  k.give(node.outputs[0], x, order);
}

std::vector<ValueId> convert_keras_relu(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  if (number(node, "threshold", 0.0) != 0 || number(node, "negative_slope", 0.0) != 0)
    refuse(node, "ReLU with a threshold or a slope below it");
  const Attr* most = node.attr("max_value");
  if (!most || std::holds_alternative<None>(*most)) return {b("relu", {x})};
  const double high = number(node, "max_value", 0.0);
  if (high == 6) return {b("relu6", {x})};
  return {b("hardtanh", {x}, {{"min_val", 0.0}, {"max_val", high}})};
}
std::vector<ValueId> convert_keras_leaky(Builder& b, const ForeignNode& node) {
  return {b("leaky_relu", {tfl_in::input(node, 0)}, {{"negative_slope", number(node, "negative_slope", 0.3)}})};
}
std::vector<ValueId> convert_keras_activation(Builder& b, const ForeignNode& node) {
  return {keras_in::activation(b, node, tfl_in::input(node, 0), word(node, "activation", "linear"))};
}

}  // namespace

OpList rectifier() {
  static const OpDef defs[] = {
      {.name = "relu",
       .doc = "max(x, 0), element by element.",
       .inputs = {{"x", "any tensor of numbers"}},
       .infer = infer::same_as_first,
       .eval = each_number<([](auto x) { return x > 0 || x != x ? x : decltype(x){0}; })>,
       .layout = any,
       .torch = {{"aten.relu.default", "x=self"}, {"aten.relu_.default", "x=self"}},
       .keras_in = {{"ReLU", "", 0, convert_keras_relu}, {"Activation", "", 0, convert_keras_activation}},
       .tflite = {.builtin = "RELU"},
       .keras = {.layer = "ReLU"},
       .source = {.torch = "F.relu({x})", .keras = "keras.activations.relu({x})", .jax = "jax.nn.relu({x})", .torch_module = "nn.ReLU()"},
       .quant = {QuantRule::same_scale},
       .examples = {"relu(x: float32[1, 16, 7, 7])"}},
      {.name = "relu6",
       .doc = "x limited to 0 … 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x < 0   ? decltype(x){0}
                                               : x > 6 ? decltype(x){6}
                                                       : x; })>,
       .layout = any,
       .torch = {{"aten.relu6.default", "x=self"}, {"aten.relu6_.default", "x=self"}},
       .tflite = {.builtin = "RELU6"},
       .keras = {.layer = "ReLU", .config = "max_value=#6"},
       .source =
           {.torch = "F.relu6({x})", .keras = "keras.activations.relu6({x})", .jax = "jax.nn.relu6({x})", .torch_module = "nn.ReLU6()"},
       .quant = {QuantRule::same_scale},
       .examples = {"relu6(x: float32[1, 16, 7, 7] in -3..9)"}},
      {.name = "hardtanh",
       .doc = "x limited to min_val … max_val, element by element.",
       .inputs = one,
       .attrs = {{"min_val", AttrKind::number, -1.0, "the least value"}, {"max_val", AttrKind::number, 1.0, "the greatest value"}},
       .infer = same,
       .eval = eval_limits,
       .layout = any,
       .torch = {{"aten.hardtanh.default", "", 0, convert_hardtanh}, {"aten.hardtanh_.default", "", 0, convert_hardtanh}},
       .tflite_in = {{"RELU_N1_TO_1", "x=0"}, {"RELU_0_TO_1", "", 0, convert_tflite_relu_0_to_1}},
       .tflite = {.lower = lower_limits},
       .keras = {.lower = keras_limits},
       .source = {.torch = "F.hardtanh({x}, min_val={min_val?}, max_val={max_val?})",
                  .keras = "keras.ops.clip({x}, {min_val}, {max_val})",
                  .jax = "jnp.clip({x}, {min_val}, {max_val})",
                  .torch_module = "nn.Hardtanh(min_val={min_val?}, max_val={max_val?})"},
       .quant = {QuantRule::same_scale},
       .examples = {"hardtanh(x: float32[1, 8, 3, 3])", "hardtanh(x: float32[1, 8, 3, 3] in -3..9, min_val: 0, max_val: 6)",
                    "hardtanh(x: float32[5], min_val: -0.5, max_val: 0.25)"}},
      {.name = "clamp",
       .doc = "x limited to min … max, element by element; an end that is null does not limit.",
       .inputs = {{"x", "any tensor of numbers"}},
       .attrs = {{"min", AttrKind::number, None{}, "the least value", {}, false, true},
                 {"max", AttrKind::number, None{}, "the greatest value", {}, false, true}},
       .infer = infer::same_as_first,
       .eval = eval_limits,
       .layout = any,
       .torch = {{"aten.clamp.default", "", 0, convert_clamp},
                 {"aten.clamp_.default", "", 0, convert_clamp},
                 {"aten.clip.default", "", 0, convert_clamp},
                 {"aten.clamp_min.default", "", 0, convert_clamp},
                 {"aten.clamp_min_.default", "", 0, convert_clamp},
                 {"aten.clamp_max.default", "", 0, convert_clamp},
                 {"aten.clamp_max_.default", "", 0, convert_clamp},
                 {"aten.clamp.Tensor", "", 0, convert_clamp_tensor}},
       .tflite = {.lower = lower_limits},
       .keras = {.lower = keras_limits},
       .source = {.torch = "torch.clamp({x}, min={min?}, max={max?})",
                  .keras = "keras.ops.clip({x}, {min}, {max})",
                  .jax = "jnp.clip({x}, {min}, {max})"},
       .source_for = source_of_clamp,
       .quant = {QuantRule::same_scale},
       .examples = {"clamp(x: float32[2, 8], min: 0)", "clamp(x: float32[2, 8], max: 0.5)", "clamp(x: float32[2, 8], min: -0.5, max: 0.5)",
                    "clamp(x: int64[6] in -9..9, min: -2, max: 3)"}},
      {.name = "leaky_relu",
       .doc = "x above zero, negative_slope * x below, element by element.",
       .inputs = one,
       .attrs = {{"negative_slope", AttrKind::number, 0.01, "what x is multiplied by below zero"}},
       .infer = same,
       .eval = eval_leaky,
       .layout = any,
       .torch = {{"aten.leaky_relu.default", "x=self"}, {"aten.leaky_relu_.default", "x=self"}},
       .keras_in = {{"LeakyReLU", "", 0, convert_keras_leaky}},
       .tflite = {.builtin = "LEAKY_RELU", .options = "alpha=negative_slope"},
       .keras = {.layer = "LeakyReLU", .config = "negative_slope=negative_slope"},
       .source = {.torch = "F.leaky_relu({x}, negative_slope={negative_slope?})",
                  .keras = "keras.activations.leaky_relu({x}, negative_slope={negative_slope})",
                  .jax = "jax.nn.leaky_relu({x}, {negative_slope})",
                  .torch_module = "nn.LeakyReLU(negative_slope={negative_slope?})"},
       .quant = {QuantRule::own_range},
       .examples = {"leaky_relu(x: float32[1, 8, 3, 3])", "leaky_relu(x: float32[6], negative_slope: 0.2)"}},
      {.name = "hardswish",
       .doc = "x * relu6(x + 3) / 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x <= -3  ? decltype(x){0}
                                               : x >= 3 ? x
                                                        : x * (x + 3) / 6; })>,
       .layout = any,
       .torch = {{"aten.hardswish.default", "x=self"}, {"aten.hardswish_.default", "x=self"}},
       .tflite = {.builtin = "HARD_SWISH"},
       .keras = {.layer = "Activation", .config = "activation=#hard_silu"},
       .source = {.torch = "F.hardswish({x})",
                  .keras = "keras.activations.hard_silu({x})",
                  .jax = "jax.nn.hard_silu({x})",
                  .torch_module = "nn.Hardswish()"},
       .quant = {QuantRule::own_range},
       .examples = {"hardswish(x: float32[1, 8, 3, 3] in -5..5)"}},
      {.name = "hardsigmoid",
       .doc = "relu6(x + 3) / 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x <= -3  ? decltype(x){0}
                                               : x >= 3 ? decltype(x){1}
                                                        : (x + 3) / 6; })>,
       .expand = expand_hardsigmoid,
       .layout = any,
       .torch = {{"aten.hardsigmoid.default", "x=self"}, {"aten.hardsigmoid_.default", "x=self"}},
       .keras = {.layer = "Activation", .config = "activation=#hard_sigmoid"},
       .source = {.torch = "F.hardsigmoid({x})",
                  .keras = "keras.activations.hard_sigmoid({x})",
                  .jax = "jax.nn.hard_sigmoid({x})",
                  .torch_module = "nn.Hardsigmoid()"},
       .quant = {QuantRule::fixed, 1.0 / 256, -128},
       .examples = {"hardsigmoid(x: float32[1, 8, 3, 3] in -5..5)"}},
  };
  return defs;
}

}  // namespace wherry::ops
