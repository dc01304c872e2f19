// Operators that map each element by itself. One row each.
#include "ops/all_ops.h"
#include "ops/infer.h"

namespace wherry::ops {

namespace {

template <float (*f)(float)> void each(OpValues& v) {
  const auto x = v.node.inputs.empty() ? std::span<const float>() : v.inputs[0]->as<float>();
  const auto y = v.out().mutable_as<float>();
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
}

float relu_of(float x) { return x > 0 ? x : 0; }

}  // namespace

OpList unary() {
  static const OpDef defs[] = {
      {.name = "relu",
       .doc = "max(x, 0), element by element.",
       .inputs = {{"x", "any float tensor"}},
       .infer = infer::float_same_as_first,
       .eval = each<relu_of>,
       .layout = {LayoutRule::any},
       .torch = {{"aten.relu.default", "x=self"}, {"aten.relu_.default", "x=self"}},
       .tflite = {.builtin = "RELU"},
       .source = {.torch = "F.relu({x})", .keras = "keras.activations.relu({x})", .jax = "jax.nn.relu({x})"},
       .quant = {QuantRule::same_scale},
       .examples = {"relu(x: float32[1, 16, 7, 7])"}},
  };
  return defs;
}

}  // namespace wherry::ops
