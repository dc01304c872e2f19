// Normalisation by stored statistics (batch_norm) and by the input's own (layer_norm, group_norm, instance_norm).
#include "ops/all_ops.h"
#include "ops/infer.h"
#include "ops/lowering.h"
#include "ops/simd.h"
#include "ops/spatial.h"

namespace wherry::ops {

namespace {

// y = x * scale[c] + shift[c] for each channel: what batch_norm comes to.
struct Affine {
  std::vector<float> scale, shift;
};

Affine affine_of(const Tensor* weight, const Tensor* bias, const Tensor& mean, const Tensor& var, double eps) {
  Affine out;
  for (std::int64_t c = 0; c < mean.count(); ++c) {
    const double scale = (weight ? weight->item(c) : 1.0) / std::sqrt(var.item(c) + eps);
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(static_cast<float>((bias ? bias->item(c) : 0.0) - mean.item(c) * scale));
  }
  return out;
}

double flops(const Graph& graph, const Node& node) { return static_cast<double>(known_count(graph.type(node.outputs[0]).shape)); }

// ---- batch_norm -----------------------------------------------------------------------------------------------------

std::vector<Type> infer_batch_norm(const OpTypes& t) {
  infer::needs_float(t, "x");
  const Shape& x = t["x"].shape;
  if (x.size() < 2) infer::fault(fmt::format("batch_norm takes x of rank 2 or more, not {}", text(t["x"])));
  for (const std::string_view input : {"weight", "bias", "running_mean", "running_var"}) infer::needs_vector(t, input, x[1]);
  return {t["x"]};
}

void eval_batch_norm(OpValues& v) {
  const Tensor& x = v["x"];
  const Affine a = affine_of(v.find("weight"), v.find("bias"), v["running_mean"], v["running_var"], v.node.number("eps"));
  const std::int64_t channels = x.sizes()[1], rows = x.sizes()[0] * channels, inner = rows ? x.count() / rows : 0;
  const float* from = x.as<float>().data();
  float* to = v.out().mutable_as<float>().data();
  vectorised([&]() __attribute__((always_inline)) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const float scale = a.scale[static_cast<std::size_t>(r % channels)], shift = a.shift[static_cast<std::size_t>(r % channels)];
      for (std::int64_t i = r * inner; i < (r + 1) * inner; ++i) to[i] = from[i] * scale + shift;
    }
  });
}

std::vector<Shape> batch_norm_parameters(const Hyper& hyper, const Node&) {
  const Shape features = {hyper_int(hyper, "features")};
  const Shape learned = hyper_flag(hyper, "affine", true) ? features : left_out();
  return {learned, learned, features, features};
}

Hyper batch_norm_hyper(const Graph& graph, const Node& node) {
  return {{"features", input_type(graph, node, "running_mean").shape[0].size()}, {"affine", has_input(node, "weight")}};
}

void lower_batch_norm(TflLowering& t, const Node& node) {
  const auto optional = [&](std::string_view input) { return has_input(node, input) ? &tfl::weight(t, node, input) : nullptr; };
  const Affine a = affine_of(optional("weight"), optional("bias"), tfl::weight(t, node, "running_mean"), tfl::weight(t, node, "running_var"),
                             node.number("eps"));
  const Sizes channels = {static_cast<std::int64_t>(a.scale.size())};
  const Type type = tfl::channels_last(t.graph.type(node.outputs[0]));
  const int scaled = tfl::binary(t, "MUL", t.channels_last(node.inputs[0]), t.constant(Tensor::from(a.scale, channels)), type);
  t.give_channels_last(node.outputs[0], tfl::binary(t, "ADD", scaled, t.constant(Tensor::from(a.shift, channels)), type));
}

}  // namespace

OpList norm() {
  static const OpDef defs[] = {
      {.name = "batch_norm",
       .doc = "(x - running_mean) / sqrt(running_var + eps) * weight + bias, channel by channel. Inference only: the statistics are stored.",
       .inputs = {{"x", "[N, C, …]"},
                  {"weight", "[C]", Role::optional_parameter},
                  {"bias", "[C]", Role::optional_parameter},
                  {"running_mean", "[C]", Role::parameter},
                  {"running_var", "[C]", Role::parameter}},
       .attrs = {{"eps", AttrKind::number, 1e-5, "added to the variance"}},
       .hyper = {{"features", AttrKind::integer, {}, "number of channels"},
                 {"affine", AttrKind::boolean, true, "whether a learned scale and offset follow"}},
       .infer = infer_batch_norm,
       .eval = eval_batch_norm,
       .flops = flops,
       .parameters = batch_norm_parameters,
       .hyper_of = batch_norm_hyper,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.batch_norm.default", "x=input =momentum =cudnn_enabled =training:false"}},
       .tflite = {.lower = lower_batch_norm},
       .source = {.torch = "F.batch_norm({x}, {running_mean}, {running_var}, {weight}, {bias}, eps={eps})",
                  .keras = "keras.ops.batch_normalization({x}, {running_mean}, {running_var}, -1, {bias}, {weight}, {eps})",
                  .jax = "({x} - {running_mean}) * jax.lax.rsqrt({running_var} + {eps}) * {weight} + {bias}"},
       .quant = {QuantRule::own_range},
       .examples = {"batch_norm(x: float32[2, 5, 4, 3], features: 5)", "batch_norm(x: float32[3, 4], features: 4, affine: false, eps: 0.001)",
                    "batch_norm(x: float32[2, 3, 7], features: 3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
