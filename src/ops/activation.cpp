// Smooth activation functions: each element by itself. Those made of straight lines are in rectifier.cpp.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

namespace wherry::ops {

namespace {

const std::vector<Input> one = {{"x", "any float tensor"}};
constexpr LayoutRule any{LayoutRule::any};
constexpr InferFn same = infer::float_same_as_first;

// A constant of x's type.
ValueId like(Builder& b, ValueId x, double value) { return b.scalar(value, b.type(x).dtype); }

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
  l.give(out, l.add("GELU", {l.as_is(x)}, ordered(l.graph.type(out), order), {{"approximate", node.string("approximate") == "tanh"}}),
         order);
}

std::vector<ValueId> expand_silu(Builder& b, const Node& node) { return {b("mul", {node.inputs[0], b("sigmoid", {node.inputs[0]})})}; }

std::vector<ValueId> expand_mish(Builder& b, const Node& node) {
  return {b("mul", {node.inputs[0], b("tanh", {b("softplus", {node.inputs[0]})})})};
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
  if (const double threshold = node.number("threshold"); threshold < 15)  // above that the tail is lost in rounding
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

std::vector<ValueId> convert_tflite_gelu(Builder& b, const ForeignNode& node) {
  return {b("gelu", {tfl_in::input(node, 0)}, {{"approximate", std::string(flag(node, "approximate", false) ? "tanh" : "none")}})};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view softplus_source = R"py(
def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * x)) / beta; x itself above the threshold."""
    return jnp.where(beta * x > threshold, x, jax.nn.softplus(beta * x) / beta)
)py";

void keras_gelu(KerasLowering& k, const Node& node) {
  if (node.string("approximate") == "tanh") return keras::lower_each(k, node, "ops.nn.Gelu", {{"approximate", true}});
  keras::lower_activation(k, node, "gelu");
}

// Before opset 20: x (1 + erf(x / sqrt 2)) / 2, or with the tanh of a cubic.
void lower_onnx_gelu(OnnxLowering& l, const Node& node) {
  const int x = l[node.inputs[0]];
  const ValueId out = node.outputs[0];
  const bool by_tanh = node.string("approximate") == "tanh";
  if (l.opset >= 20) return l.give(out, l.add("Gelu", {x}, {{"approximate", node.attr("approximate")}}));
  const auto number = [&](double value) { return l.scalar(value, l.graph.type(out).dtype); };
  int inner = l.add("Mul", {x, number(std::sqrt(by_tanh ? 2 / std::numbers::pi : 0.5))});
  if (by_tanh) {
    const int cubic = l.add("Mul", {l.add("Mul", {x, x}), number(0.044715)});
    inner = l.add("Mul", {inner, l.add("Add", {cubic, number(1)})});
  }
  const int share = l.add("Add", {l.add(by_tanh ? "Tanh" : "Erf", {inner}), number(1)});
  l.give(out, l.add("Mul", {l.add("Mul", {x, share}), number(0.5)}));
}

// x itself where beta * x is above the threshold; ONNX's Softplus knows neither.
void lower_onnx_softplus(OnnxLowering& l, const Node& node) {
  const double beta = node.number("beta"), threshold = node.number("threshold");
  const int x = l[node.inputs[0]];
  const ValueId out = node.outputs[0];
  const auto number = [&](double value) { return l.scalar(value, l.graph.type(out).dtype); };
  if (beta == 1 && threshold >= 20) return l.give(out, l.add("Softplus", {x}));
  const int scaled = l.add("Mul", {x, number(beta)});
  const int bent = l.add("Div", {l.add("Softplus", {scaled}), number(beta)});
  l.give(out, l.add("Where", {l.add("Greater", {scaled, number(threshold)}), x, bent}));
}

std::vector<ValueId> convert_onnx_swish(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const double alpha = number(node, "alpha", 1);
  if (alpha == 1) return {b("silu", {x})};
  return {b("mul", {x, b("sigmoid", {b("mul", {x, b.scalar(alpha, b.type(x).dtype)})})})};
}

// Zero up to lambd; above it nearer to zero by bias.
ValueId shrunk(Builder& b, ValueId x, double lambd, double bias) {
  const ValueId low = like(b, x, -lambd), high = like(b, x, lambd), shift = like(b, x, bias);
  const ValueId above = bias == 0 ? x : b("sub", {x, shift}), below = bias == 0 ? x : b("add", {x, shift});
  return b("where", {b("gt", {x, high}), above, b("where", {b("lt", {x, low}), below, like(b, x, 0)})});
}
std::vector<ValueId> expand_hardshrink(Builder& b, const Node& node) { return {shrunk(b, node.inputs[0], node.number("lambd"), 0)}; }
std::vector<ValueId> expand_softshrink(Builder& b, const Node& node) {
  return {shrunk(b, node.inputs[0], node.number("lambd"), node.number("lambd"))};
}

std::vector<ValueId> convert_onnx_shrink(Builder& b, const ForeignNode& node) {
  ValueId x = onnx::required(node, 0);
  const DType type = b.type(x).dtype;
  const double lambd = number(node, "lambd", 0.5), bias = number(node, "bias", 0);
  if (!is_float(type)) return {cast(b, shrunk(b, cast(b, x, DType::float32), lambd, bias), type)};
  if (bias == 0) return {b("hardshrink", {x}, {{"lambd", lambd}})};
  return {bias == lambd ? b("softshrink", {x}, {{"lambd", lambd}}) : shrunk(b, x, lambd, bias)};
}

// The gate's swish times the other operand.
std::vector<ValueId> convert_onnx_swiglu(Builder& b, const ForeignNode& node) {
  const ValueId gate = convert_onnx_swish(b, node)[0];
  return {b("mul", {gate, onnx::required(node, 1)})};
}

// Its alpha and gamma may be others than selu's own, which are those to the digits of a float.
std::vector<ValueId> convert_onnx_selu(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const double alpha = number(node, "alpha", selu_alpha), gamma = number(node, "gamma", selu_scale);
  if (std::abs(alpha - selu_alpha) < 1e-6 && std::abs(gamma - selu_scale) < 1e-6) return {b("selu", {x})};
  return {b("mul", {b("elu", {x}, {{"alpha", alpha}}), b.scalar(gamma, b.type(x).dtype)})};
}

}  // namespace

OpList activation() {
  static const OpDef defs[] = {
      {.name = "elu",
       .doc = "x above zero, alpha * (exp(x) - 1) below, element by element.",
       .inputs = one,
       .attrs = {{"alpha", AttrKind::number, 1.0, "how deep it goes below zero"}},
       .infer = same,
       .eval = eval_elu,
       .layout = any,
       .torch = {{"aten.elu.default", "", 0, convert_elu}, {"aten.elu_.default", "", 0, convert_elu}},
       .onnx = {{"Elu", "x=0"}},
       .tflite_in = {{"ELU", "x=0"}},
       .tflite = {.lower = lower_elu},
       .onnx_out = {.op = "Elu", .attributes = "alpha=alpha"},
       .keras = {.layer = "ELU", .config = "alpha=alpha"},
       .source = {.torch = "F.elu({x}, alpha={alpha?})",
                  .keras = "keras.activations.elu({x}, alpha={alpha})",
                  .jax = "jax.nn.elu({x}, {alpha})",
                  .torch_module = "nn.ELU(alpha={alpha?})"},
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
       .onnx = {{.target = "Selu", .convert = convert_onnx_selu}},
       .onnx_out = {.op = "Selu"},
       .keras = {.layer = "Activation", .config = "activation=#selu"},
       .source = {.torch = "F.selu({x})", .keras = "keras.activations.selu({x})", .jax = "jax.nn.selu({x})", .torch_module = "nn.SELU()"},
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
       .onnx = {{"Celu", "x=0"}},
       .onnx_out = {.op = "Celu", .attributes = "alpha=alpha"},
       .keras = {.layer = "ops.nn.Celu", .config = "alpha=alpha"},
       .source = {.torch = "F.celu({x}, alpha={alpha?})",
                  .keras = "keras.activations.celu({x}, alpha={alpha})",
                  .jax = "jax.nn.celu({x}, {alpha})",
                  .torch_module = "nn.CELU(alpha={alpha?})"},
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
       .onnx = {{"Gelu", "x=0", 20}},
       .tflite_in = {{"GELU", "", 0, convert_tflite_gelu}},
       .tflite = {.lower = lower_gelu},
       .onnx_out = {.lower = lower_onnx_gelu},
       .keras = {.lower = keras_gelu},
       .source = {.torch = "F.gelu({x}, approximate={approximate?})",
                  .keras = "keras.activations.gelu({x}, approximate={approximate} == 'tanh')",
                  .jax = "jax.nn.gelu({x}, approximate={approximate} == \"tanh\")",
                  .torch_module = "nn.GELU(approximate={approximate?})"},
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
       .onnx = {{.target = "Swish", .since = 24, .convert = convert_onnx_swish}, {.target = "SwiGLU", .convert = convert_onnx_swiglu}},
       .onnx_out = {.op = "Swish-24"},
       .keras = {.layer = "Activation", .config = "activation=#silu"},
       .source = {.torch = "F.silu({x})", .keras = "keras.activations.silu({x})", .jax = "jax.nn.silu({x})", .torch_module = "nn.SiLU()"},
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
       .onnx = {{"Mish", "x=0", 18}},
       .onnx_out = {.op = "Mish-18"},
       .keras = {.layer = "Activation", .config = "activation=#mish"},
       .source = {.torch = "F.mish({x})",
                  .keras = "keras.activations.mish({x})",
                  .jax = "{x} * jnp.tanh(jax.nn.softplus({x}))",
                  .torch_module = "nn.Mish()"},
       .quant = {QuantRule::own_range},
       .examples = {"mish(x: float32[1, 8, 3, 3] in -9..30)"}},
      {.name = "glu",
       .doc = "The first half of an axis times the sigmoid of the second.",
       .inputs = one,
       .attrs = {{"dim", AttrKind::integer, std::int64_t{-1}, "the axis that is halved"}},
       .infer = infer_glu,
       .expand = expand_glu,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.glu.default", "x=self"}},
       .source = {.torch = "F.glu({x}, dim={dim?})",
                  .keras = "keras.activations.glu({x}, {dim})",
                  .jax = "jax.nn.glu({x}, axis={dim?})",
                  .torch_module = "nn.GLU(dim={dim?})"},
       .quant = {QuantRule::own_range},
       .examples = {"glu(x: float32[1, 8, 3, 3], dim: 1)"}},
      {.name = "sigmoid",
       .doc = "1 / (1 + exp(-x)), element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return 1 / (1 + std::exp(-x)); })>,
       .layout = any,
       .torch = {{"aten.sigmoid.default", "x=self"}, {"aten.sigmoid_.default", "x=self"}},
       .onnx = {{"Sigmoid", "x=0"}},
       .tflite = {.builtin = "LOGISTIC"},
       .onnx_out = {.op = "Sigmoid"},
       .keras = {.layer = "Activation", .config = "activation=#sigmoid"},
       .source = {.torch = "torch.sigmoid({x})",
                  .keras = "keras.activations.sigmoid({x})",
                  .jax = "jax.nn.sigmoid({x})",
                  .torch_module = "nn.Sigmoid()"},
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
       .keras = {.layer = "Activation", .config = "activation=#log_sigmoid"},
       .source = {.torch = "F.logsigmoid({x})",
                  .keras = "keras.activations.log_sigmoid({x})",
                  .jax = "jax.nn.log_sigmoid({x})",
                  .torch_module = "nn.LogSigmoid()"},
       .quant = {QuantRule::own_range},
       .examples = {"log_sigmoid(x: float32[2, 8] in -30..30)"}},
      {.name = "tanh",
       .doc = "The hyperbolic tangent, element by element.",
       .inputs = one,
       .infer = same,
       .eval = each_float<([](auto x) { return std::tanh(x); })>,
       .layout = any,
       .torch = {{"aten.tanh.default", "x=self"}, {"aten.tanh_.default", "x=self"}},
       .onnx = {{"Tanh", "x=0"}},
       .tflite = {.builtin = "TANH"},
       .onnx_out = {.op = "Tanh"},
       .keras = {.layer = "Activation", .config = "activation=#tanh"},
       .source = {.torch = "torch.tanh({x})", .keras = "keras.activations.tanh({x})", .jax = "jnp.tanh({x})", .torch_module = "nn.Tanh()"},
       .quant = {QuantRule::fixed, 1.0 / 128, 0},
       .examples = {"tanh(x: float32[1, 8, 3, 3] in -5..5)"}},
      {.name = "softplus",
       .doc = "log(1 + exp(beta * x)) / beta, element by element; x itself where beta * x is above the threshold.",
       .inputs = one,
       .attrs = {{"beta", AttrKind::number, 1.0, "how sharply it bends"},
                 {"threshold", AttrKind::number, 20.0, "where it becomes x itself"}},
       .infer = same,
       .eval = eval_softplus,
       .expand = expand_softplus,
       .layout = any,
       .torch = {{"aten.softplus.default", "x=self"}},
       .onnx = {{"Softplus", "x=0"}},
       .onnx_out = {.lower = lower_onnx_softplus},
       .source = {.torch = "F.softplus({x}, beta={beta?}, threshold={threshold?})",
                  .keras = "keras.activations.softplus({x} * {beta}) / {beta}",
                  .jax = "softplus({x}, beta={beta?}, threshold={threshold?})",
                  .torch_module = "nn.Softplus(beta={beta?}, threshold={threshold?})",
                  .jax_helpers = {softplus_source}},
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
       .onnx = {{"Softsign", "x=0"}},
       .onnx_out = {.op = "Softsign"},
       .keras = {.layer = "Activation", .config = "activation=#softsign"},
       .source = {.torch = "F.softsign({x})",
                  .keras = "keras.activations.softsign({x})",
                  .jax = "jax.nn.soft_sign({x})",
                  .torch_module = "nn.Softsign()"},
       .quant = {QuantRule::own_range},
       .examples = {"softsign(x: float32[2, 8])"}},
      {.name = "hardshrink",
       .doc = "x where it is above lambd or below -lambd, else zero, element by element.",
       .inputs = one,
       .attrs = {{"lambd", AttrKind::number, 0.5, "up to which size x becomes zero"}},
       .infer = same,
       .expand = expand_hardshrink,
       .layout = any,
       .torch = {{"aten.hardshrink.default", "x=self"}},
       .onnx = {{.target = "Shrink", .since = 9, .convert = convert_onnx_shrink}},
       .onnx_out = {.op = "Shrink", .attributes = "lambd=lambd"},
       .source = {.torch = "F.hardshrink({x}, {lambd?})",
                  .keras = "keras.ops.hard_shrink({x}, {lambd})",
                  .jax = "jnp.where(jnp.abs({x}) > {lambd}, {x}, 0)",
                  .torch_module = "nn.Hardshrink({lambd?})"},
       .quant = {QuantRule::own_range},
       .examples = {"hardshrink(x: float32[1, 8, 3, 3])"}},
      {.name = "softshrink",
       .doc = "x nearer to zero by lambd, and zero up to it, element by element.",
       .inputs = one,
       .attrs = {{"lambd", AttrKind::number, 0.5, "up to which size x becomes zero"}},
       .infer = same,
       .expand = expand_softshrink,
       .layout = any,
       .torch = {{"aten.softshrink.default", "x=self"}},
       .onnx_out = {.op = "Shrink", .attributes = "lambd=lambd bias=lambd"},
       .source = {.torch = "F.softshrink({x}, {lambd?})",
                  .keras = "keras.ops.soft_shrink({x}, {lambd})",
                  .jax = "jnp.sign({x}) * jnp.maximum(jnp.abs({x}) - {lambd}, 0)",
                  .torch_module = "nn.Softshrink({lambd?})"},
       .quant = {QuantRule::own_range},
       .examples = {"softshrink(x: float32[1, 8, 3, 3], lambd: 0.3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
