// Normalisation by the root of the mean square.
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"
#include "ops/source_helpers.h"
#include "ops/spatial.h"

namespace wherry::ops {

namespace {

constexpr double float32_eps = 1.1920928955078125e-07;  // PyTorch's, where none is given

// x / sqrt(mean(x²) + eps) over the axes from the end.
ValueId normalised(Builder& b, ValueId x, std::size_t axes, double eps) {
  Ints last;
  for (std::size_t i = axes; i > 0; --i) last.push_back(-static_cast<std::int64_t>(i));
  const ValueId square = b("mean", {b("square", {x})}, {{"dim", last}, {"keepdim", true}});
  return b("mul", {x, b("rsqrt", {b("add", {square, b.scalar(eps, b.type(x).dtype)})})});
}

std::vector<ValueId> expand_rms_norm(Builder& b, const Node& node) {
  const ValueId y = normalised(b, node.inputs[0], node.ints("normalized_shape").size(), node.number("eps"));
  return {node.inputs[1] == absent ? y : b("mul", {y, node.inputs[1]})};
}

std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  return {b("rms_norm", {n.value("input"), n.value("weight")},
            {{"normalized_shape", ints(n, "normalized_shape")}, {"eps", number(n, "eps", float32_eps)}})};
}

// A scale that is not of the normalised shape is multiplied behind. Sums are float32 where stash_type does not say otherwise.
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), scale = onnx::required(n, 1);
  const Sizes shape = onnx::static_shape(b, n, x);
  const int axis = infer::axis(integer(n, "axis", -1), static_cast<int>(shape.size()));
  const Ints last(shape.begin() + axis, shape.end());
  const std::vector<NamedAttr> attrs = {{"normalized_shape", last}, {"eps", number(n, "epsilon", 1e-5)}};
  if (b.type(scale).shape == to_shape(last)) return {b("rms_norm", {x, scale}, attrs)};
  return {b("mul", {b("rms_norm", {x}, attrs), scale})};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const Ints& last = node.ints("normalized_shape");
  const DType type = l.graph.type(node.inputs[0]).dtype;
  const int x = l[node.inputs[0]];
  int scale = node.inputs[1] == absent ? -1 : l[node.inputs[1]];
  if (l.opset >= 23) {
    if (scale < 0) {
      Tensor ones = Tensor::allocate(DType::float32, last);
      for (float& f : ones.mutable_as<float>()) f = 1;
      scale = l.constant(ones.cast(type), "weight");
    }
    return l.give(node.outputs[0], l.add("RMSNormalization", {x, scale},
                                         {{"axis", -static_cast<std::int64_t>(last.size())}, {"epsilon", node.attr("eps")}}));
  }
  Ints axes;
  for (std::size_t i = last.size(); i > 0; --i) axes.push_back(-static_cast<std::int64_t>(i));
  const int square = l.add("Mul", {x, x});
  const int mean = l.opset < 18 ? l.add("ReduceMean", {square}, {{"axes", axes}}) : l.add("ReduceMean", {square, l.ints(axes, "axes")});
  const int y = l.add("Div", {x, l.add("Sqrt", {l.add("Add", {mean, l.scalar(node.number("eps"), type)})})});
  l.give(node.outputs[0], scale < 0 ? y : l.add("Mul", {y, scale}));
}

constexpr std::string_view rms_norm_source = R"py(
def rms_norm(x, shape, weight=None, eps=1.1920928955078125e-07):
    """Brings the root of the mean square over the last axes to 1."""
    axes = tuple(range(-1 if isinstance(shape, int) else -len(shape), 0))
    y = x * jax.lax.rsqrt(jnp.mean(x * x, axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight
)py";

}  // namespace

OpList rms_norm() {
  static const OpDef defs[] = {
      {.name = "rms_norm",
       .doc = "Brings the root of the mean square over the last axes to 1, then scales element by element.",
       .inputs = {{"x", "[…, normalized_shape]"}, {"weight", "[normalized_shape]", Role::optional_parameter}},
       .attrs = {{"normalized_shape", AttrKind::ints, {}, "sizes of the last axes, over which the mean is taken"},
                 {"eps", AttrKind::number, float32_eps, "added to the mean square"}},
       .hyper = {{"affine", AttrKind::boolean, true, "whether a learned scale follows"}},
       .infer = infer::over_last_axes,
       .expand = expand_rms_norm,
       .parameters =
           [](const Hyper& hyper, const Node& node) {
             return std::vector<Shape>{hyper_flag(hyper, "affine", true) ? to_shape(node.ints("normalized_shape")) : left_out()};
           },
       .hyper_of =
           [](const Graph&, const Node& node) {
             return Hyper{{"affine", has_input(node, "weight")}};
           },
       .layout = {LayoutRule::fixed},
       .torch = {{.target = "aten.rms_norm.default", .convert = convert}},
       .onnx = {{.target = "RMSNormalization", .since = 23, .convert = convert_onnx}},
       .onnx_out = {.lower = lower_onnx},
       .source = {.torch = "F.rms_norm({x}, {normalized_shape}, {weight}, {eps})",
                  .jax = "rms_norm({x}, {normalized_shape}, {parameters}, eps={eps?})",
                  .torch_module = "nn.RMSNorm({normalized_shape!}, eps={eps}, elementwise_affine={affine?})",
                  .jax_init = "affine_init({normalized_shape}, affine={affine?}, bias=False)",
                  .jax_helpers = {jax::affine_init, rms_norm_source}},
       .quant = {QuantRule::float_only},
       .examples = {"rms_norm(x: float32[2, 5, 8], normalized_shape: 8)",
                    "rms_norm(x: float32[2, 5, 8], normalized_shape: [5, 8], eps: 1.0e-05, affine: false)"}},
  };
  return defs;
}

}  // namespace wherry::ops
