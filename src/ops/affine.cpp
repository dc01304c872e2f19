// Integers that stand for reals, as quantized files of other frameworks hold them: real = scale * (q - zero_point).
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"

#include <limits>

namespace wherry::ops {

namespace {

struct Limits {
  double least, most;
};

std::optional<Limits> limits_of(DType dtype) {
  switch (dtype) {
    case DType::int8: return Limits{-128, 127};
    case DType::uint8: return Limits{0, 255};
    case DType::int16: return Limits{-32768, 32767};
    default: return std::nullopt;
  }
}

// One scale, or one for each position along the axis.
void check_scale(const OpTypes& t) {
  const Shape &x = t["x"].shape, &scale = t["scale"].shape;
  if (!is_float(t["scale"].dtype)) infer::fault(fmt::format("scale is {}, expected a float", text(t["scale"])), "E502");
  if (const Type* zero = t.find("zero_point"); zero && zero->shape != scale)
    infer::fault(fmt::format("zero_point {} and scale {} differ in shape", text(*zero), text(t["scale"])));
  if (element_count(scale) == Dim(1)) return;
  const int axis = infer::axis(t.node.integer("axis"), static_cast<int>(x.size()));
  if (scale.size() != 1 || !(scale[0] == x[static_cast<std::size_t>(axis)]))
    infer::fault(fmt::format("scale {} does not fit axis {} of {}", text(t["scale"]), axis, text(t["x"])));
}

std::vector<Type> infer_quantize(const OpTypes& t) {
  infer::needs_float(t, "x");
  check_scale(t);
  const DType dtype = std::get<DType>(t.node.attr("dtype"));
  if (!limits_of(dtype)) infer::fault(fmt::format("quantize gives int8, uint8 or int16, not {}", name(dtype)), "E502");
  return {{dtype, t["x"].shape}};
}

std::vector<Type> infer_dequantize(const OpTypes& t) {
  if (!is_integer(t["x"].dtype)) infer::fault(fmt::format("dequantize takes integers, not {}", text(t["x"])), "E502");
  check_scale(t);
  return {{t["scale"].dtype, t["x"].shape}};
}

// A vector as it broadcasts against x.
ValueId along_axis(Builder& b, const Node& node, ValueId v) {
  const Shape& x = b.type(node.inputs[0]).shape;
  const Shape shape = b.type(v).shape;
  if (element_count(shape) == Dim(1)) return shape.empty() ? v : b("reshape", {v}, {{"shape", Ints{}}});
  Ints wide(x.size() - static_cast<std::size_t>(infer::axis(node.integer("axis"), static_cast<int>(x.size()))), 1);
  wide[0] = -1;
  return wide.size() == 1 ? v : b("reshape", {v}, {{"shape", wide}});
}

std::vector<ValueId> expand_quantize(Builder& b, const Node& node) {
  const DType type = b.type(node.inputs[0]).dtype, to = std::get<DType>(node.attr("dtype"));
  const Limits limits = *limits_of(to);
  ValueId y = b("round", {b("div", {node.inputs[0], along_axis(b, node, cast(b, node.inputs[1], type))})});
  if (node.inputs[2] != absent) y = b("add", {y, along_axis(b, node, cast(b, node.inputs[2], type))});
  return {cast(b, b("clamp", {y}, {{"min", limits.least}, {"max", limits.most}}), to)};
}

std::vector<ValueId> expand_dequantize(Builder& b, const Node& node) {
  const DType type = b.type(node.inputs[1]).dtype;
  ValueId y = cast(b, node.inputs[0], type);
  if (node.inputs[2] != absent) y = b("sub", {y, along_axis(b, node, cast(b, node.inputs[2], type))});
  return {b("mul", {y, along_axis(b, node, node.inputs[1])})};
}

std::vector<Input> affine_inputs(std::string_view x) {
  return {
      {"x", x}, {"scale", "one number, or one for each position along axis"}, {"zero_point", "integers of scale's shape", Role::optional}};
}

// ---- ONNX: the type of the result is the zero point's, or says output_dtype (opset 21) ----

void refuse_blocks(const ForeignNode& node) {
  if (integer(node, "block_size", 0) != 0) refuse(node, fmt::format("'{}' in blocks is not known", node.target));
  if (integer(node, "precision", 0) != 0) refuse(node, fmt::format("'{}' with a precision of its own is not known", node.target));
}

std::vector<ValueId> convert_onnx_quantize(Builder& b, const ForeignNode& node) {
  refuse_blocks(node);
  const ValueId zero = onnx::in(node, 2);
  DType type = zero == absent ? DType::uint8 : b.type(zero).dtype;
  if (integer(node, "output_dtype", 0) != 0) type = onnx::dtype(node, "output_dtype");
  const ValueId x = onnx::required(node, 0);
  return {b("quantize", {is_float(b.type(x).dtype) ? x : cast(b, x, DType::float32), onnx::required(node, 1), zero},
            {{"axis", integer(node, "axis", 1)}, {"dtype", type}})};
}

std::vector<ValueId> convert_onnx_dequantize(Builder& b, const ForeignNode& node) {
  refuse_blocks(node);
  const ValueId y =
      b("dequantize", {onnx::required(node, 0), onnx::required(node, 1), onnx::in(node, 2)}, {{"axis", integer(node, "axis", 1)}});
  return {given(node, "output_dtype") && integer(node, "output_dtype") != 0 ? cast(b, y, onnx::dtype(node, "output_dtype")) : y};
}

// The type of the result is that of a zero point.
void lower_onnx_quantize(OnnxLowering& l, const Node& node) {
  int zero = l[node.inputs[2]];
  if (zero < 0)
    zero = l.constant(Tensor::allocate(std::get<DType>(node.attr("dtype")), sizes(l.graph.type(node.inputs[1]).shape)), "zero_point");
  l.give(node.outputs[0], l.add("QuantizeLinear", {l[node.inputs[0]], l[node.inputs[1]], zero}, {{"axis", node.attr("axis")}}));
}

}  // namespace

OpList affine() {
  static const OpDef defs[] = {
      {.name = "quantize",
       .doc = "round(x / scale) + zero_point, limited to the integers of dtype.",
       .inputs = affine_inputs("any float tensor"),
       .attrs = {{"axis", AttrKind::integer, std::int64_t{1}, "the axis of several scales"},
                 {"dtype", AttrKind::dtype, DType::uint8, "int8, uint8 or int16"}},
       .infer = infer_quantize,
       .expand = expand_quantize,
       .onnx = {{.target = "QuantizeLinear", .since = 10, .convert = convert_onnx_quantize}},
       .onnx_out = {.lower = lower_onnx_quantize},
       .source = {"(torch.round({x} / {scale}) + ({zero_point} if {zero_point} is not None else 0))"
                  ".clamp(torch.iinfo({dtype}).min, torch.iinfo({dtype}).max).to({dtype})",
                  "",
                  "jnp.clip(jnp.round({x} / {scale}) + ({zero_point} if {zero_point} is not None else 0), jnp.iinfo({dtype}).min, "
                  "jnp.iinfo({dtype}).max).astype({dtype})"},
       .examples = {"quantize(x: float32[2, 5], scale: const float32[1] = [0.1])",
                    "quantize(x: float32[2, 5], scale: const float32[1] = [0.1], dtype: int8)"}},
      {.name = "dequantize",
       .doc = "scale * (x - zero_point): the reals that integers stand for.",
       .inputs = affine_inputs("any tensor of integers"),
       .attrs = {{"axis", AttrKind::integer, std::int64_t{1}, "the axis of several scales"}},
       .infer = infer_dequantize,
       .expand = expand_dequantize,
       .onnx = {{.target = "DequantizeLinear", .since = 10, .convert = convert_onnx_dequantize}},
       .onnx_out = {.op = "DequantizeLinear", .attributes = "axis=axis"},
       .source = {"{scale} * ({x}.to({scale}.dtype) - ({zero_point}.to({scale}.dtype) if {zero_point} is not None else 0))", "",
                  "{scale} * ({x}.astype({scale}.dtype) - ({zero_point} if {zero_point} is not None else 0))"},
       .examples = {"dequantize(x: int8[2, 5] in -9..9, scale: const float32[1] = [0.1])"}},
  };
  return defs;
}

}  // namespace wherry::ops
