// Softmax and its logarithm along one axis.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

namespace wherry::ops {

namespace {

std::vector<Type> infer_softmax(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::axis(t.node.integer("dim"), std::max<int>(1, static_cast<int>(t["x"].shape.size())));
  return {t["x"]};
}

template <bool logarithm>
void eval(OpValues& v) {
  const Tensor& x = v["x"];
  const int axis = infer::axis(v.node.integer("dim"), std::max(1, x.rank()));
  std::int64_t inner = 1;
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x.sizes()[static_cast<std::size_t>(i)];
  const std::int64_t n = x.rank() ? x.sizes()[static_cast<std::size_t>(axis)] : 1;
  if (x.count() == 0) return;
  with_float(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>().data();
    T* to = v.out().mutable_as<T>().data();
    for (std::int64_t line = 0; line < x.count() / n; ++line) {
      const std::int64_t start = line / inner * n * inner + line % inner;
      const T* p = from + start;
      T* q = to + start;
      T top = p[0], sum = 0;
      for (std::int64_t i = 1; i < n; ++i) top = std::max(top, p[i * inner]);
      for (std::int64_t i = 0; i < n; ++i) sum += q[i * inner] = std::exp(p[i * inner] - top);
      const T log_sum = std::log(sum);
      for (std::int64_t i = 0; i < n; ++i) q[i * inner] = logarithm ? p[i * inner] - top - log_sum : q[i * inner] / sum;
    }
  });
}

// The axis lies last in the tensor, the others as they are.
void lower(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type& type = l.graph.type(x);
  if (type.shape.empty()) l.refuse(node, "a softmax of a single number");
  const auto rank = static_cast<int>(type.shape.size());
  const auto axis = static_cast<std::size_t>(infer::axis(node.integer("dim"), rank));
  Order order = l.order(x);
  const int stood = order[axis];
  for (int& at : order)
    if (at > stood) --at;
  order[axis] = rank - 1;
  std::vector<TflOption> options;
  if (node.op->tflite.builtin == "SOFTMAX") options.push_back({"beta", 1.0});
  const Type whole = ordered(type, order);
  const int lies = l.in_order(x, order);
  if (whole.shape.size() <= tfl::most_axes || !is_static(whole.shape))
    return l.give(out, l.add(node.op->tflite.builtin, {lies}, whole, std::move(options)), order);
  const std::int64_t last = whole.shape.back().size();
  const Type rows{whole.dtype, {Dim(element_count(sizes(whole.shape)) / std::max<std::int64_t>(last, 1)), Dim(last)}};
  const int y = l.add(node.op->tflite.builtin, {tfl::reshape(l, lies, rows)}, rows, std::move(options));
  l.give(out, tfl::reshape(l, y, whole), order);
}

template <Word op, Word argument>
std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  if (flag(node, "half_to_float", false)) refuse(node, fmt::format("'{}' with half_to_float", node.target));
  ValueId x = node.value(argument);
  if (const std::optional<DType> type = dtype(node, "dtype")) x = cast(b, x, *type);
  return {b(op, {x}, {{"dim", integer(node, "dim")}})};
}

template <Word op>
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  ValueId x = tfl_in::input(node, 0);
  if (const double beta = number(node, "beta", 1.0); beta != 1) x = b("mul", {x, b.scalar(beta, b.type(x).dtype)});
  return {b(op, {x}, {{"dim", std::int64_t{-1}}})};
}

void keras_softmax(KerasLowering& k, const Node& node) {
  const Order order = k.order(node.inputs[0]);
  if (order.empty()) k.refuse(node, "a softmax of a single number");
  const std::int64_t axis = order[static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(order.size())))];
  k.touch(static_cast<int>(axis));
  const bool last = axis + 1 == static_cast<std::int64_t>(order.size());
  keras::lower_each(k, node, node.op->keras.layer, {{"axis", last ? std::int64_t{-1} : axis}});
}

// Before opset 13: over all axes from `axis` on, taken as one.
template <Word op>
std::vector<ValueId> convert_onnx_flat(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const auto rank = static_cast<int>(onnx::rank(b, x));
  const int axis = infer::axis(integer(node, "axis", 1), rank);
  if (axis == rank - 1) return {b(op, {x}, {{"dim", std::int64_t{-1}}})};
  const Sizes shape = onnx::static_shape(b, node, x);
  const ValueId flat = b("flatten", {x}, {{"start_dim", std::int64_t{axis}}});
  return {b("reshape", {b(op, {flat}, {{"dim", std::int64_t{-1}}})}, {{"shape", shape}})};
}

template <Word op>
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  return {b(op, {onnx::required(node, 0)}, {{"dim", integer(node, "axis", -1)}})};
}

std::vector<ValueId> convert_keras_softmax(Builder& b, const ForeignNode& node) {
  return {b("softmax", {tfl_in::input(node, 0)}, {{"dim", integer(node, "axis", -1)}})};
}

}  // namespace

OpList softmax() {
  static const OpDef defs[] = {
      {.name = "softmax",
       .doc = "exp(x) divided by its sum along `dim`, so that the numbers along it add up to 1.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = {{"dim", AttrKind::integer, {}, "the axis whose numbers add up to 1"}},
       .infer = infer_softmax,
       .eval = eval<false>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.softmax.int", "", 0, convert<"softmax", "self">}, {"aten._softmax.default", "", 0, convert<"softmax", "self">}},
       .onnx = {{.target = "Softmax", .convert = convert_onnx_flat<"softmax">},
                {.target = "Softmax", .since = 13, .convert = convert_onnx<"softmax">}},
       .tflite_in = {{"SOFTMAX", "", 0, convert_tflite<"softmax">}},
       .keras_in = {{"Softmax", "", 0, convert_keras_softmax}},
       .tflite = {.builtin = "SOFTMAX", .lower = lower},
       .onnx_out = {.op = "Softmax", .attributes = "axis=dim"},
       .keras = {.layer = "Softmax", .lower = keras_softmax},
       .source = {.torch = "F.softmax({x}, dim={dim})",
                  .keras = "keras.activations.softmax({x}, axis={dim})",
                  .jax = "jax.nn.softmax({x}, axis={dim})",
                  .torch_module = "nn.Softmax(dim={dim})"},
       .quant = {QuantRule::fixed, 1.0 / 256, -128},
       .examples = {"softmax(x: float32[2, 10], dim: -1)", "softmax(x: float32[1, 6, 4, 4], dim: 1)",
                    "softmax(x: float32[2, 3, 4], dim: 1)", "softmax(x: float32[1, 6, 4, 4] in 50..90, dim: 2)"}},
      {.name = "log_softmax",
       .doc = "The logarithm of softmax along `dim`, computed without overflow.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = {{"dim", AttrKind::integer, {}, "the axis whose exponentials add up to 1"}},
       .infer = infer_softmax,
       .eval = eval<true>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.log_softmax.int", "", 0, convert<"log_softmax", "self">},
                 {"aten._log_softmax.default", "", 0, convert<"log_softmax", "self">}},
       .onnx = {{.target = "LogSoftmax", .convert = convert_onnx_flat<"log_softmax">},
                {.target = "LogSoftmax", .since = 13, .convert = convert_onnx<"log_softmax">}},
       .tflite_in = {{"LOG_SOFTMAX", "", 0, convert_tflite<"log_softmax">}},
       .tflite = {.builtin = "LOG_SOFTMAX", .lower = lower},
       .onnx_out = {.op = "LogSoftmax", .attributes = "axis=dim"},
       .keras = {.layer = "ops.nn.LogSoftmax", .lower = keras_softmax},
       .source = {.torch = "F.log_softmax({x}, dim={dim})",
                  .keras = "keras.activations.log_softmax({x}, axis={dim})",
                  .jax = "jax.nn.log_softmax({x}, axis={dim})",
                  .torch_module = "nn.LogSoftmax(dim={dim})"},
       .quant = {QuantRule::fixed, 16.0 / 256, 127},
       .examples = {"log_softmax(x: float32[2, 10], dim: -1)", "log_softmax(x: float32[1, 6, 4, 4], dim: 1)"}},
  };
  return defs;
}

}  // namespace wherry::ops
