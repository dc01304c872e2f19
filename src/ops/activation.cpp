// Activation functions: each element by itself.
#include "ops/all_ops.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"

namespace wherry::ops {

namespace {

const std::vector<Input> one = {{"x", "any float tensor"}};
constexpr LayoutRule any{LayoutRule::any};
constexpr InferFn same = infer::float_same_as_first;

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
  };
  return defs;
}

}  // namespace wherry::ops
