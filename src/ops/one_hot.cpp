// Positions as vectors with a single one.
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"

#include <numeric>

namespace wherry::ops {

namespace {

std::vector<Type> infer_one_hot(const OpTypes& t) {
  const Type& x = t["x"];
  if (!is_integer(x.dtype)) infer::fault(fmt::format("one_hot takes integers, not {}", name(x.dtype)), "E502");
  if (t.node.integer("num_classes") < 1) infer::fault(fmt::format("num_classes {} is not positive", t.node.integer("num_classes")));
  Type out{DType::int64, x.shape};
  out.shape.emplace_back(t.node.integer("num_classes"));
  return {out};
}

// Whether the new axis at `axis` is at the position that x names.
ValueId is_position(Builder& b, ValueId x, std::int64_t count, int axis) {
  const std::size_t rank = b.type(x).shape.size();
  std::vector<std::int64_t> places(static_cast<std::size_t>(count));
  std::iota(places.begin(), places.end(), 0);
  Sizes shape(rank + 1 - static_cast<std::size_t>(axis), 1);
  shape[0] = count;
  const ValueId line = b.constant(Tensor::from(places, shape).cast(b.type(x).dtype));
  return b("eq", {b("unsqueeze", {x}, {{"dim", std::int64_t{axis}}}), line});
}

std::vector<ValueId> expand_one_hot(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {cast(b, is_position(b, x, node.integer("num_classes"), static_cast<int>(b.type(x).shape.size())), DType::int64)};
}

std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  const std::int64_t classes = integer(n, "num_classes", -1);
  if (classes < 1) refuse(n, "one_hot without a number of classes gives a size that depends on the data");
  return {b("one_hot", {n.value("self")}, {{"num_classes", classes}})};
}

// Positions may count from the end; one that is out of range gives no one. Values for off and on.
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const std::optional<double> depth = onnx::fixed_number(b, n, 1, "depth");
  if (!depth || *depth < 1) refuse(n, "'OneHot' does not say how deep");
  const ValueId given = onnx::required(n, 0), values = onnx::required(n, 2);
  const ValueId at = is_float(b.type(given).dtype) ? cast(b, given, DType::int64) : given;
  const DType type = b.type(at).dtype;
  ValueId from_start = at;
  if (is_signed(type)) from_start = b("where", {b("lt", {at, b.scalar(0, type)}), b("add", {at, b.scalar(*depth, type)}), at});
  const int axis = infer::axis(integer(n, "axis", -1), static_cast<int>(onnx::rank(b, at)) + 1);
  const ValueId hot = is_position(b, from_start, static_cast<std::int64_t>(*depth), axis);
  const auto value = [&](std::int64_t i) { return b("select", {values}, {{"dim", std::int64_t{0}}, {"index", i}}); };
  return {b("where", {hot, value(1), value(0)})};
}

// One at the first of the greatest along an axis; before opset 13 of all axes from there on.
std::vector<ValueId> convert_onnx_hardmax(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const Sizes shape = onnx::static_shape(b, n, x);
  const auto rank = static_cast<int>(shape.size());
  int axis = infer::axis(integer(n, "axis", n.version < 13 ? 1 : -1), rank);
  ValueId line = x;
  if (n.version < 13 && axis != rank - 1) line = b("flatten", {x}, {{"start_dim", std::int64_t{axis}}, {"end_dim", std::int64_t{-1}}});
  const ValueId first = b("argmax", {line}, {{"dim", std::int64_t{axis}}});
  const std::int64_t count = b.type(line).shape[static_cast<std::size_t>(axis)].size();
  const ValueId hot = cast(b, is_position(b, first, count, axis), b.type(x).dtype);
  return {line == x ? hot : b("reshape", {hot}, {{"shape", Ints(shape)}})};
}

}  // namespace

OpList one_hot() {
  static const OpDef defs[] = {
      {.name = "one_hot",
       .doc = "For each number a vector of zeros with a one at that position.",
       .inputs = {{"x", "any tensor of integers"}},
       .attrs = {{"num_classes", AttrKind::integer, {}, "length of the vectors"}},
       .infer = infer_one_hot,
       .expand = expand_one_hot,
       .torch = {{"aten.one_hot.default", "", 0, convert}},
       .onnx = {{.target = "OneHot", .since = 9, .convert = convert_onnx}, {.target = "Hardmax", .convert = convert_onnx_hardmax}},
       .source = {.torch = "F.one_hot({x}, {num_classes})",
                  .keras = "keras.ops.one_hot({x}, {num_classes}, dtype='int64')",
                  .jax = "jax.nn.one_hot({x}, {num_classes}, dtype=int)"},
       .examples = {"one_hot(x: int64[2, 3] in 0..4, num_classes: 5)"}},
  };
  return defs;
}

}  // namespace wherry::ops
