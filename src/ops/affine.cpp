// Integers that stand for reals, as quantized files of other frameworks hold them: real = scale * (q - zero_point).
#include "ir/narrow_float.h"
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"
#include "ops/onnx_quantized.h"

#include <cmath>

namespace wherry::ops {

namespace {

struct Limits {
  double least, most;
};

// Integers of at most 16 bits, and floats of at most 8.
std::optional<Limits> limits_of(DType dtype) {
  if (is_narrow_float(dtype) && dtype != DType::float8_e8m0fnu) return Limits{-greatest(dtype), greatest(dtype)};
  if (!is_integer(dtype) || bits(dtype) > 16) return std::nullopt;
  const double top = std::ldexp(1.0, bits(dtype) - (is_signed(dtype) ? 1 : 0));
  return Limits{is_signed(dtype) ? -top : 0, top - 1};
}

// One scale, one for each position along the axis, or one for each element.
void check_scale(const OpTypes& t) {
  const Shape &x = t["x"].shape, &scale = t["scale"].shape;
  if (!is_float(t["scale"].dtype)) infer::fault(fmt::format("scale is {}, expected a float", text(t["scale"])), "E502");
  const bool single = element_count(scale) == Dim(1);
  if (const Type* zero = t.find("zero_point"); zero && zero->shape != scale && !(single && element_count(zero->shape) == Dim(1)))
    infer::fault(fmt::format("zero_point {} and scale {} differ in shape", text(*zero), text(t["scale"])));
  if (single || (scale == x && scale.size() > 1)) return;
  const int axis = infer::axis(t.node.integer("axis"), static_cast<int>(x.size()));
  if (scale.size() != 1 || !(scale[0] == x[static_cast<std::size_t>(axis)]))
    infer::fault(fmt::format("scale {} does not fit axis {} of {}", text(t["scale"]), axis, text(t["x"])));
}

std::vector<Type> infer_quantize(const OpTypes& t) {
  infer::needs_float(t, "x");
  check_scale(t);
  const DType dtype = std::get<DType>(t.node.attr("dtype"));
  if (!limits_of(dtype))
    infer::fault(fmt::format("quantize gives integers of at most 16 bits or floats of at most 8, not {}", name(dtype)), "E502");
  return {{dtype, t["x"].shape}};
}

std::vector<Type> infer_dequantize(const OpTypes& t) {
  if (!is_integer(t["x"].dtype) && !limits_of(t["x"].dtype))
    infer::fault(fmt::format("dequantize takes integers or floats of at most 8 bits, not {}", text(t["x"])), "E502");
  check_scale(t);
  return {{t["scale"].dtype, t["x"].shape}};
}

// A vector as it broadcasts against x.
ValueId along_axis(Builder& b, const Node& node, ValueId v) {
  const Shape& x = b.type(node.inputs[0]).shape;
  const Shape shape = b.type(v).shape;
  if (element_count(shape) == Dim(1)) return shape.empty() ? v : b("reshape", {v}, {{"shape", Ints{}}});
  if (shape.size() == x.size() && shape.size() > 1) return v;
  Ints wide(x.size() - static_cast<std::size_t>(infer::axis(node.integer("axis"), static_cast<int>(x.size()))), 1);
  wide[0] = -1;
  return wide.size() == 1 ? v : b("reshape", {v}, {{"shape", wide}});
}

std::vector<ValueId> expand_quantize(Builder& b, const Node& node) {
  const DType type = b.type(node.inputs[0]).dtype, to = std::get<DType>(node.attr("dtype"));
  const Limits limits = *limits_of(to);
  ValueId y = b("div", {node.inputs[0], along_axis(b, node, cast(b, node.inputs[1], type))});
  if (is_integer(to)) y = b("round", {y});
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
  return {{"x", x},
          {"scale", "one number, one for each position along axis, or one for each element"},
          {"zero_point", "integers of scale's shape", Role::optional}};
}

// ---- ONNX: the type of the result is the zero point's, or says output_dtype (opset 21) ----

// One scale or zero point for each block of an axis becomes one for each element.
ValueId of_elements(Builder& b, const ForeignNode& node, ValueId v) {
  const std::int64_t block = integer(node, "block_size", 0);
  if (block == 0 || v == absent) return v;
  const Sizes x = onnx::static_shape(b, node, onnx::required(node, 0));
  const int axis = infer::axis(integer(node, "axis", 1), static_cast<int>(x.size()));
  const std::int64_t size = x[static_cast<std::size_t>(axis)];
  const NamedAttr dim{"dim", std::int64_t{axis}};
  const ValueId wide = b("repeat_interleave", {v}, {{"repeats", block}, dim});
  if (b.type(wide).shape.at(static_cast<std::size_t>(axis)) == Dim(size)) return wide;
  return b("slice", {wide}, {dim, {"start", std::int64_t{0}}, {"end", size}});
}

std::vector<ValueId> convert_onnx_quantize(Builder& b, const ForeignNode& node) {
  const ValueId zero = onnx::in(node, 2);
  DType type = zero == absent ? DType::uint8 : b.type(zero).dtype;
  if (integer(node, "output_dtype", 0) != 0) type = onnx::dtype(node, "output_dtype");
  if (is_narrow_float(type) && !flag(node, "saturate", true))
    refuse(node, "'QuantizeLinear' to floats of 8 bits that does not limit them is not known");
  ValueId x = onnx::required(node, 0), scale = onnx::required(node, 1);
  const DType given = b.type(x).dtype;
  if (integer(node, "precision", 0) != 0) x = cast(b, x, onnx::dtype(node, "precision"));
  if (!is_float(b.type(x).dtype)) x = cast(b, x, is_float(given) ? given : DType::float32);
  return {
      b("quantize", {x, of_elements(b, node, scale), of_elements(b, node, zero)}, {{"axis", integer(node, "axis", 1)}, {"dtype", type}})};
}

std::vector<ValueId> convert_onnx_dequantize(Builder& b, const ForeignNode& node) {
  const ValueId y =
      b("dequantize", {onnx::required(node, 0), of_elements(b, node, onnx::required(node, 1)), of_elements(b, node, onnx::in(node, 2))},
        {{"axis", integer(node, "axis", 1)}});
  return {given(node, "output_dtype") && integer(node, "output_dtype") != 0 ? cast(b, y, onnx::dtype(node, "output_dtype")) : y};
}

std::vector<ForeignMap> with_quantized(const ForeignMap& own) {
  std::vector<ForeignMap> maps = onnx_quantized::maps();
  maps.insert(maps.begin(), own);
  return maps;
}

// A scale for each element is a block of one; the type of the result is that of a zero point.
OnnxLowering::Attributes onnx_attributes(OnnxLowering& l, const Node& node) {
  OnnxLowering::Attributes attributes = {{"axis", node.attr("axis")}};
  if (l.graph.type(node.inputs[1]).shape.size() < 2) return attributes;
  if (l.opset < 21) l.refuse(node, "a scale for each element needs opset 21");
  attributes.emplace_back("block_size", std::int64_t{1});
  return attributes;
}

void lower_onnx_quantize(OnnxLowering& l, const Node& node) {
  int zero = l[node.inputs[2]];
  if (zero < 0)
    zero = l.constant(Tensor::allocate(std::get<DType>(node.attr("dtype")), sizes(l.graph.type(node.inputs[1]).shape)), "zero_point");
  l.give(node.outputs[0], l.add("QuantizeLinear", {l[node.inputs[0]], l[node.inputs[1]], zero}, onnx_attributes(l, node)));
}

void lower_onnx_dequantize(OnnxLowering& l, const Node& node) {
  l.give(node.outputs[0], l.add("DequantizeLinear", {l[node.inputs[0]], l[node.inputs[1]], l[node.inputs[2]]}, onnx_attributes(l, node)));
}

}  // namespace

OpList affine() {
  static const OpDef defs[] = {
      {.name = "quantize",
       .doc = "round(x / scale) + zero_point, limited to the numbers of dtype; floats are not rounded to whole numbers.",
       .inputs = affine_inputs("any float tensor"),
       .attrs = {{"axis", AttrKind::integer, std::int64_t{1}, "the axis of several scales"},
                 {"dtype", AttrKind::dtype, DType::uint8, "integers of at most 16 bits, or floats of at most 8"}},
       .infer = infer_quantize,
       .expand = expand_quantize,
       .onnx = with_quantized({.target = "QuantizeLinear", .since = 10, .convert = convert_onnx_quantize}),
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
       .inputs = affine_inputs("any tensor of integers, or of floats of 8 bits"),
       .attrs = {{"axis", AttrKind::integer, std::int64_t{1}, "the axis of several scales"}},
       .infer = infer_dequantize,
       .expand = expand_dequantize,
       .onnx = {{.target = "DequantizeLinear", .since = 10, .convert = convert_onnx_dequantize}},
       .onnx_out = {.lower = lower_onnx_dequantize},
       .source = {"{scale} * ({x}.to({scale}.dtype) - ({zero_point}.to({scale}.dtype) if {zero_point} is not None else 0))", "",
                  "{scale} * ({x}.astype({scale}.dtype) - ({zero_point} if {zero_point} is not None else 0))"},
       .examples = {"dequantize(x: int8[2, 5] in -9..9, scale: const float32[1] = [0.1])"}},
  };
  return defs;
}

}  // namespace wherry::ops
