// Activation functions: each element by itself.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/lowering.h"

#include <limits>

namespace wherry::ops {

namespace {

const std::vector<Input> one = {{"x", "any float tensor"}};
constexpr LayoutRule any{LayoutRule::any};
constexpr InferFn same = infer::float_same_as_first;

// A constant of x's type.
ValueId like(Builder& b, ValueId x, double value) { return b.scalar(value, b.type(x).dtype); }

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

void eval_elu(OpValues& v) {
  const double alpha = v.node.number("alpha");
  map_floats(v, [alpha](auto x) { return x > 0 ? x : static_cast<decltype(x)>(alpha) * std::expm1(x); });
}

// ELU is alpha = 1; another alpha is relu(x) + alpha ELU(min(x, 0)).
void lower_elu(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const Type type = ordered(l.graph.type(out), order);
  const auto number = [&](double value) { return l.constant(Tensor::scalar(value, type.dtype)); };
  int tensor = l.as_is(x);
  if (const double alpha = node.number("alpha"); alpha == 1) {
    tensor = l.add("ELU", {tensor}, type);
  } else {
    const int below = l.add("ELU", {l.add("MINIMUM", {tensor, number(0)}, type)}, type);
    tensor = tfl::binary(l, "ADD", l.add("RELU", {tensor}, type), tfl::binary(l, "MUL", below, number(alpha), type), type);
  }
  l.give(out, tensor, order);
}

// aten.elu is scale (max(0, x) + alpha min(0, exp(x input_scale) - 1)).
std::vector<ValueId> convert_elu(Builder& b, const ForeignNode& node) {
  if (number(node, "input_scale", 1) != 1) refuse(node, "elu with an input_scale other than 1 is not known");
  const ValueId y = b("elu", {node.value("self")}, {{"alpha", number(node, "alpha", 1)}});
  const double scale = number(node, "scale", 1);
  return {scale == 1 ? y : b("mul", {y, like(b, y, scale)})};
}

constexpr double selu_alpha = 1.6732632423543772848170429916717, selu_scale = 1.0507009873554804934193349852946;

std::vector<ValueId> expand_selu(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {b("mul", {b("elu", {x}, {{"alpha", selu_alpha}}), like(b, x, selu_scale)})};
}

void eval_celu(OpValues& v) {
  const double alpha = v.node.number("alpha");
  map_floats(v, [alpha](auto x) {
    const auto a = static_cast<decltype(x)>(alpha);
    return x > 0 ? x : a * std::expm1(x / a);
  });
}

std::vector<ValueId> expand_celu(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const double alpha = node.number("alpha");
  if (alpha == 1) return {b("elu", {x})};
  return {b("mul", {b("elu", {b("div", {x, like(b, x, alpha)})}), like(b, x, alpha)})};
}

void eval_gelu(OpValues& v) {
  const bool tanh = v.node.string("approximate") == "tanh";
  map_floats(v, [tanh](auto x) {
    using T = decltype(x);
    if (tanh) return T(0.5) * x * (1 + std::tanh(T(0.7978845608028654) * (x + T(0.044715) * x * x * x)));
    return T(0.5) * x * (1 + std::erf(x * T(0.7071067811865476)));
  });
}

void lower_gelu(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  l.give(out, l.add("GELU", {l.as_is(x)}, ordered(l.graph.type(out), order), {{"approximate", node.string("approximate") == "tanh"}}), order);
}

std::vector<ValueId> expand_silu(Builder& b, const Node& node) { return {b("mul", {node.inputs[0], b("sigmoid", {node.inputs[0]})})}; }

std::vector<ValueId> expand_mish(Builder& b, const Node& node) {
  return {b("mul", {node.inputs[0], b("tanh", {b("softplus", {node.inputs[0]})})})};
}

std::vector<ValueId> expand_hardsigmoid(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {b("mul", {b("relu6", {b("add", {x, like(b, x, 3)})}), like(b, x, 1.0 / 6)})};
}

void eval_softplus(OpValues& v) {
  const double beta = v.node.number("beta"), threshold = v.node.number("threshold");
  map_floats(v, [=](auto x) {
    const auto scaled = static_cast<decltype(x)>(beta) * x;
    return scaled > threshold ? x : std::log1p(std::exp(scaled)) / static_cast<decltype(x)>(beta);
  });
}

// log(1 + exp(x)) = relu(x) + log(1 + exp(-|x|)): nothing overflows.
std::vector<ValueId> expand_softplus(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const double beta = node.number("beta");
  const ValueId scaled = beta == 1 ? x : b("mul", {x, like(b, x, beta)});
  const ValueId tail = b("log", {b("add", {b("exp", {b("neg", {b("abs", {scaled})})}), like(b, x, 1)})});
  ValueId y = b("add", {b("relu", {scaled}), tail});
  if (beta != 1) y = b("div", {y, like(b, x, beta)});
  if (const double threshold = node.number("threshold"); threshold < 15)   // above that the tail is lost in rounding
    y = b("where", {b("gt", {scaled, like(b, x, threshold)}), x, y});
  return {y};
}

std::vector<ValueId> expand_softsign(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {b("div", {x, b("add", {b("abs", {x}), like(b, x, 1)})})};
}

std::vector<ValueId> expand_log_sigmoid(Builder& b, const Node& node) { return {b("neg", {b("softplus", {b("neg", {node.inputs[0]})})})}; }

std::vector<Type> infer_glu(const OpTypes& t) {
  infer::needs_float(t, "x");
  Type out = t["x"];
  Dim& size = out.shape[static_cast<std::size_t>(infer::axis(t.node.integer("dim"), static_cast<int>(out.shape.size())))];
  if (size.known() && size.size() % 2) infer::fault(fmt::format("glu halves an axis of {}, which is odd", size.size()));
  size = floor_div(size, Dim(2));
  return {out};
}

std::vector<ValueId> expand_glu(Builder& b, const Node& node) {
  const std::vector<ValueId> halves = b.multi("chunk", {node.inputs[0]}, {{"chunks", std::int64_t{2}}, {"dim", node.attr("dim")}});
  return {b("mul", {halves.at(0), b("sigmoid", {halves.at(1)})})};
}

}  // namespace

OpList activation() {
  static const OpDef defs[] = {
      {.name = "relu",
       .doc = "max(x, 0), element by element.",
       .inputs = {{"x", "any tensor of numbers"}},
       .infer = infer::same_as_first,
       .eval = each_number<([](auto x) { return x > 0 || x != x ? x : decltype(x){0}; })>,
       .layout = any,
       .torch = {{"aten.relu.default", "x=self"}, {"aten.relu_.default", "x=self"}},
       .tflite = {.builtin = "RELU"},
       .source = {"F.relu({x})", "keras.activations.relu({x})", "jax.nn.relu({x})"},
       .quant = {QuantRule::same_scale},
       .examples = {"relu(x: float32[1, 16, 7, 7])"}},
      {.name = "relu6",
       .doc = "x limited to 0 … 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x < 0 ? decltype(x){0} : x > 6 ? decltype(x){6} : x; })>,
       .layout = any,
       .torch = {{"aten.relu6.default", "x=self"}, {"aten.relu6_.default", "x=self"}},
       .tflite = {.builtin = "RELU6"},
       .source = {"F.relu6({x})", "keras.activations.relu6({x})", "jax.nn.relu6({x})"},
       .quant = {QuantRule::same_scale},
       .examples = {"relu6(x: float32[1, 16, 7, 7] in -3..9)"}},
      {.name = "hardtanh",
       .doc = "x limited to min_val … max_val, element by element.",
       .inputs = one,
       .attrs = {{"min_val", AttrKind::number, -1.0, "the least value"}, {"max_val", AttrKind::number, 1.0, "the greatest value"}},
       .infer = same,
       .eval = eval_limits,
       .layout = any,
       .torch = {{"aten.hardtanh.default", "x=self"}, {"aten.hardtanh_.default", "x=self"}},
       .tflite = {.lower = lower_limits},
       .source = {"F.hardtanh({x}, {min_val}, {max_val})", "keras.ops.clip({x}, {min_val}, {max_val})", "jnp.clip({x}, {min_val}, {max_val})"},
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
       .source = {"torch.clamp({x}, {min}, {max}).type_as({x})", "keras.ops.clip({x}, {min}, {max})", "jnp.clip({x}, {min}, {max})"},
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
       .tflite = {.builtin = "LEAKY_RELU", .options = "alpha=negative_slope"},
       .source = {"F.leaky_relu({x}, {negative_slope})", "keras.activations.leaky_relu({x}, negative_slope={negative_slope})",
                  "jax.nn.leaky_relu({x}, {negative_slope})"},
       .quant = {QuantRule::own_range},
       .examples = {"leaky_relu(x: float32[1, 8, 3, 3])", "leaky_relu(x: float32[6], negative_slope: 0.2)"}},
      {.name = "elu",
       .doc = "x above zero, alpha * (exp(x) - 1) below, element by element.",
       .inputs = one,
       .attrs = {{"alpha", AttrKind::number, 1.0, "how deep it goes below zero"}},
       .infer = same,
       .eval = eval_elu,
       .layout = any,
       .torch = {{"aten.elu.default", "", 0, convert_elu}, {"aten.elu_.default", "", 0, convert_elu}},
       .tflite = {.lower = lower_elu},
       .source = {"F.elu({x}, {alpha})", "keras.activations.elu({x}, alpha={alpha})", "jax.nn.elu({x}, {alpha})"},
       .quant = {QuantRule::own_range},
       .examples = {"elu(x: float32[1, 8, 3, 3])", "elu(x: float32[6], alpha: 0.7)"}},
      {.name = "selu",
       .doc = "elu with the alpha and scale that keep mean 0 and variance 1: 1.0507 * (x or 1.6733 * (exp(x) - 1)).",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) {
         using T = decltype(x);
         return T(selu_scale) * (x > 0 ? x : T(selu_alpha) * std::expm1(x));
       })>,
       .expand = expand_selu,
       .layout = any,
       .torch = {{"aten.selu.default", "x=self"}, {"aten.selu_.default", "x=self"}},
       .source = {"F.selu({x})", "keras.activations.selu({x})", "jax.nn.selu({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"selu(x: float32[1, 8, 3, 3])"}},
      {.name = "celu",
       .doc = "x above zero, alpha * (exp(x / alpha) - 1) below, element by element.",
       .inputs = one,
       .attrs = {{"alpha", AttrKind::number, 1.0, "how deep it goes below zero"}},
       .infer = same,
       .eval = eval_celu,
       .expand = expand_celu,
       .layout = any,
       .torch = {{"aten.celu.default", "x=self"}, {"aten.celu_.default", "x=self"}},
       .source = {"F.celu({x}, {alpha})", "keras.activations.celu({x}, alpha={alpha})", "jax.nn.celu({x}, {alpha})"},
       .quant = {QuantRule::own_range},
       .examples = {"celu(x: float32[1, 8, 3, 3])", "celu(x: float32[6], alpha: 0.7)"}},
      {.name = "gelu",
       .doc = "x times the share of a normal distribution below x, element by element.",
       .inputs = one,
       .attrs = {{"approximate", AttrKind::string, std::string("none"), "none: by erf; tanh: by its approximation", {"none", "tanh"}}},
       .infer = same,
       .eval = eval_gelu,
       .layout = any,
       .torch = {{"aten.gelu.default", "x=self"}, {"aten.gelu_.default", "x=self"}},
       .tflite = {.lower = lower_gelu},
       .source = {"F.gelu({x}, approximate={approximate})", "keras.activations.gelu({x}, approximate={approximate} == 'tanh')",
                  "jax.nn.gelu({x}, approximate={approximate} == 'tanh')"},
       .quant = {QuantRule::own_range},
       .examples = {"gelu(x: float32[1, 8, 3, 3] in -4..4)", "gelu(x: float32[9] in -4..4, approximate: tanh)"}},
      {.name = "silu",
       .doc = "x * sigmoid(x), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x / (1 + std::exp(-x)); })>,
       .expand = expand_silu,
       .layout = any,
       .torch = {{"aten.silu.default", "x=self"}, {"aten.silu_.default", "x=self"}},
       .source = {"F.silu({x})", "keras.activations.silu({x})", "jax.nn.silu({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"silu(x: float32[1, 8, 3, 3] in -9..9)"}},
      {.name = "mish",
       .doc = "x * tanh(softplus(x)), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x * std::tanh(x > 20 ? x : std::log1p(std::exp(x))); })>,
       .expand = expand_mish,
       .layout = any,
       .torch = {{"aten.mish.default", "x=self"}, {"aten.mish_.default", "x=self"}},
       .source = {"F.mish({x})", "keras.activations.mish({x})", "jax.nn.mish({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"mish(x: float32[1, 8, 3, 3] in -9..30)"}},
      {.name = "hardswish",
       .doc = "x * relu6(x + 3) / 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x <= -3 ? decltype(x){0} : x >= 3 ? x : x * (x + 3) / 6; })>,
       .layout = any,
       .torch = {{"aten.hardswish.default", "x=self"}, {"aten.hardswish_.default", "x=self"}},
       .tflite = {.builtin = "HARD_SWISH"},
       .source = {"F.hardswish({x})", "keras.activations.hard_silu({x})", "jax.nn.hard_silu({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"hardswish(x: float32[1, 8, 3, 3] in -5..5)"}},
      {.name = "hardsigmoid",
       .doc = "relu6(x + 3) / 6, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x <= -3 ? decltype(x){0} : x >= 3 ? decltype(x){1} : (x + 3) / 6; })>,
       .expand = expand_hardsigmoid,
       .layout = any,
       .torch = {{"aten.hardsigmoid.default", "x=self"}, {"aten.hardsigmoid_.default", "x=self"}},
       .source = {"F.hardsigmoid({x})", "keras.activations.hard_sigmoid({x})", "jax.nn.hard_sigmoid({x})"},
       .quant = {QuantRule::fixed, 1.0 / 256, -128},
       .examples = {"hardsigmoid(x: float32[1, 8, 3, 3] in -5..5)"}},
      {.name = "glu",
       .doc = "The first half of an axis times the sigmoid of the second.",
       .inputs = one,
       .attrs = {{"dim", AttrKind::integer, std::int64_t{-1}, "the axis that is halved"}},
       .infer = infer_glu,
       .expand = expand_glu,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.glu.default", "x=self"}},
       .source = {"F.glu({x}, {dim})", "keras.activations.glu({x}, {dim})", "jax.nn.glu({x}, {dim})"},
       .quant = {QuantRule::own_range},
       .examples = {"glu(x: float32[1, 8, 3, 3], dim: 1)"}},
      {.name = "sigmoid",
       .doc = "1 / (1 + exp(-x)), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return 1 / (1 + std::exp(-x)); })>,
       .layout = any,
       .torch = {{"aten.sigmoid.default", "x=self"}, {"aten.sigmoid_.default", "x=self"}},
       .tflite = {.builtin = "LOGISTIC"},
       .source = {"torch.sigmoid({x})", "keras.activations.sigmoid({x})", "jax.nn.sigmoid({x})"},
       .quant = {QuantRule::fixed, 1.0 / 256, -128},
       .examples = {"sigmoid(x: float32[1, 16, 7, 7] in -9..9)"}},
      {.name = "log_sigmoid",
       .doc = "The logarithm of sigmoid(x), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return std::min<decltype(x)>(x, 0) - std::log1p(std::exp(-std::abs(x))); })>,
       .expand = expand_log_sigmoid,
       .layout = any,
       .torch = {{"aten.log_sigmoid.default", "x=self"}},
       .source = {"F.logsigmoid({x})", "keras.activations.log_sigmoid({x})", "jax.nn.log_sigmoid({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"log_sigmoid(x: float32[2, 8] in -30..30)"}},
      {.name = "tanh",
       .doc = "The hyperbolic tangent, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return std::tanh(x); })>,
       .layout = any,
       .torch = {{"aten.tanh.default", "x=self"}, {"aten.tanh_.default", "x=self"}},
       .tflite = {.builtin = "TANH"},
       .source = {"torch.tanh({x})", "keras.activations.tanh({x})", "jnp.tanh({x})"},
       .quant = {QuantRule::fixed, 1.0 / 128, 0},
       .examples = {"tanh(x: float32[1, 8, 3, 3] in -5..5)"}},
      {.name = "softplus",
       .doc = "log(1 + exp(beta * x)) / beta, element by element; x itself where beta * x is above the threshold.",
       .inputs = one,
       .attrs = {{"beta", AttrKind::number, 1.0, "how sharply it bends"}, {"threshold", AttrKind::number, 20.0, "where it becomes x itself"}},
       .infer = same,
       .eval = eval_softplus,
       .expand = expand_softplus,
       .layout = any,
       .torch = {{"aten.softplus.default", "x=self"}},
       .source = {"F.softplus({x}, {beta}, {threshold})", "keras.activations.softplus({x} * {beta}) / {beta}", "jax.nn.softplus({x} * {beta}) / {beta}"},
       .quant = {QuantRule::own_range},
       .examples = {"softplus(x: float32[1, 8, 3, 3] in -30..30)", "softplus(x: float32[9], beta: 2, threshold: 1)"}},
      {.name = "softsign",
       .doc = "x / (1 + |x|), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return x / (1 + std::abs(x)); })>,
       .expand = expand_softsign,
       .layout = any,
       .torch = {{"aten.softsign.default", "x=self"}},
       .source = {"F.softsign({x})", "keras.activations.softsign({x})", "jax.nn.soft_sign({x})"},
       .quant = {QuantRule::own_range},
       .examples = {"softsign(x: float32[2, 8])"}},
  };
  return defs;
}

}  // namespace wherry::ops
