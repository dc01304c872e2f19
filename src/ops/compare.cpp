// Questions that are answered with true or false, and the choice by an answer.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/onnx.h"

namespace wherry::ops {

namespace {

constexpr LayoutRule any{LayoutRule::any};
const std::vector<Input> two = {{"x", "the first operand"}, {"y", "the second; shapes broadcast, a number stands for a scalar constant"}};

std::vector<Type> infer_answer(const OpTypes& t) { return {{DType::boolean, infer::broadcast(t)[0].shape}}; }

// The operands' common type: what the tensor among them has.
DType operand_type(const OpValues& v) {
  const bool scalar = v.inputs[0]->rank() == 0;
  return v.inputs[scalar ? 1 : 0]->dtype();
}

template <auto f>
void answers(OpValues& v) {
  const DType type = operand_type(v);
  with_type(v.node, type, [&](auto zero) { map_pairs<decltype(zero), std::uint8_t>(v, type, f); });
}

template <Word op>
std::vector<ValueId> convert_logical(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> xy{node.value("self"), node.value("other")};
  const bool bitwise = std::string_view(node.target).find("logical") == std::string_view::npos;
  const bool integers = is_integer(b.type(xy[0]).dtype) || is_integer(b.type(xy[1]).dtype);
  if (bitwise && integers) return {b(fmt::format("bitwise_{}", std::string_view(op).substr(8)), promoted(b, node, {"self", "other"}))};
  for (ValueId& v : xy) v = cast(b, v, DType::boolean);
  return {b(op, xy)};
}

std::vector<Type> infer_logical(const OpTypes& t) {
  std::vector<Type> out = infer::broadcast(t);
  if (out[0].dtype != DType::boolean) infer::fault(fmt::format("{} takes bool, not {}", t.node.op->name, name(out[0].dtype)), "E502");
  return out;
}

std::vector<Type> infer_where(const OpTypes& t) {
  if (t["condition"].dtype != DType::boolean)
    infer::fault(fmt::format("where takes a condition of bool, not {}", name(t["condition"].dtype)), "E502");
  const OpTypes choices{t.node, t.inputs.subspan(1), t.constants.subspan(1)};
  Type out = infer::broadcast(choices)[0];
  out.shape = infer::broadcast_shapes(out.shape, t["condition"].shape);
  return {out};
}

void eval_where(OpValues& v) {
  const DType type = v.out().dtype();
  const Tensor x = v["x"].cast(type), y = v["y"].cast(type);
  const Tensor& condition = v["condition"];
  with_type(v.node, type, [&](auto zero) {
    using T = decltype(zero);
    const auto c = condition.as<std::uint8_t>();
    const auto a = x.as<T>(), b = y.as<T>();
    const auto out = v.out().mutable_as<T>();
    const Sizes& sizes = v.out().sizes();
    walk_rows(sizes,
              {broadcast_strides(condition.sizes(), sizes), broadcast_strides(x.sizes(), sizes), broadcast_strides(y.sizes(), sizes)},
              [&](std::int64_t at, const auto& from, std::int64_t n, const auto& step) {
                for (std::int64_t i = 0; i < n; ++i)
                  out.data()[at + i] = c.data()[from[0] + i * step[0]] ? a.data()[from[1] + i * step[1]] : b.data()[from[2] + i * step[2]];
              });
  });
}

// The choices come first, so that numbers among them take the choices' type and not the condition's.
void lower_where(TflLowering& l, const Node& node) {
  const ValueId condition = node.inputs[0], x = node.inputs[1], y = node.inputs[2], out = node.outputs[0];
  const DType type = l.graph.type(out).dtype;
  const auto number = [&](ValueId v) { return l.graph.is_constant(v) && l.graph.type(v).shape.empty(); };
  Order order;
  std::vector<int> in;  // x, y, condition
  if (number(x) && number(y)) {
    in = {l.constant(l.graph[x].constant->cast(type)), l.constant(l.graph[y].constant->cast(type))};
    in.push_back(l.same_order({condition}, order)[0]);
  } else {
    in = l.same_order({x, y, condition}, order);
  }
  l.give(out, l.add("SELECT_V2", {in[2], in[0], in[1]}, ordered(l.graph.type(out), order)), order);
}

std::vector<ValueId> convert_where(Builder& b, const ForeignNode& node) {
  const std::vector<ValueId> xy = promoted(b, node, {"self", "other"});
  return {b("where", {cast(b, node.value("condition"), DType::boolean), xy[0], xy[1]})};
}

// masked_fill(x, mask, value): the value takes x's type.
std::vector<ValueId> convert_masked_fill(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const Attr* number_given = node.attr("value");
  ValueId value = absent;
  if (!number_given)
    value = cast(b, node.value("value"), b.type(x).dtype);
  else if (const bool* truth = std::get_if<bool>(number_given))
    value = b.scalar(*truth ? 1 : 0, b.type(x).dtype);
  else
    value = b.scalar(number(node, "value"), b.type(x).dtype);
  return {b("where", {node.value("mask"), value, x})};
}

std::vector<Type> infer_triangle(const OpTypes& t) {
  const Type& x = t["x"];
  if (x.shape.size() < 2) infer::fault(fmt::format("{} takes a tensor of rank 2 or more, not {}", t.node.op->name, text(x)));
  return {x};
}

// Whether position (i, j) lies in the triangle that stays.
bool stays(const Node& node, std::int64_t i, std::int64_t j) {
  const std::int64_t diagonal = node.integer("diagonal");
  return node.op->name == "tril" ? j - i <= diagonal : j - i >= diagonal;
}

void eval_triangle(OpValues& v) {
  const Tensor& x = v["x"];
  const std::int64_t rows = x.sizes()[x.sizes().size() - 2], columns = x.sizes().back();
  with_type(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto from = x.as<T>();
    const auto to = v.out().mutable_as<T>();
    for (std::size_t k = 0; k < from.size(); ++k) {
      const auto at = static_cast<std::int64_t>(k);
      to[k] = stays(v.node, at / columns % rows, at % columns) ? from[k] : T{0};
    }
  });
}

std::vector<ValueId> expand_triangle(Builder& b, const Node& node) {
  const Type type = b.type(node.inputs[0]);
  const Dim &rows = type.shape[type.shape.size() - 2], &columns = type.shape.back();
  if (!rows.known() || !columns.known())
    fail({.code = "E504",
          .message = fmt::format("{} of {} needs the sizes of its last two axes", node.op->name, text(type)),
          .at = node.where(),
          .next = "export the model with fixed sizes"});
  Tensor mask = Tensor::allocate(DType::boolean, {rows.size(), columns.size()});
  for (std::int64_t i = 0; i < rows.size(); ++i)
    for (std::int64_t j = 0; j < columns.size(); ++j)
      mask.mutable_as<std::uint8_t>()[static_cast<std::size_t>(i * columns.size() + j)] = stays(node, i, j);
  return {b("where", {b.constant(std::move(mask)), node.inputs[0], b.scalar(0, type.dtype)})};
}

void keras_where(KerasLowering& k, const Node& node) {
  const ValueId condition = node.inputs[0], x = node.inputs[1], y = node.inputs[2];
  const DType dtype = k.graph.type(node.outputs[0]).dtype;
  const auto number = [&](ValueId v) { return k.graph.is_constant(v) && k.graph.type(v).shape.empty(); };
  Order order;
  std::vector<int> in;  // x, y, condition
  if (number(x) && number(y)) {
    in = {k.constant(k.graph[x].constant->cast(dtype)), k.constant(k.graph[y].constant->cast(dtype))};
    in.push_back(k.same_order({condition}, order)[0]);
  } else {
    in = k.same_order({x, y, condition}, order);
  }
  k.give(node.outputs[0],
         k.add("ops.numpy.Where", {KerasRef{in[2]}, KerasRef{in[0]}, KerasRef{in[1]}}, ordered(k.graph.type(node.outputs[0]), order)),
         order);
}

// ---- ONNX ----

template <Word op>
void lower_onnx(OnnxLowering& l, const Node& node) {
  l.give(node.outputs[0], l.add(op, l.same_type(node.inputs)));
}

void lower_onnx_ne(OnnxLowering& l, const Node& node) { l.give(node.outputs[0], l.add("Not", {l.add("Equal", l.same_type(node.inputs))})); }

template <Word op>
void lower_onnx_logical(OnnxLowering& l, const Node& node) {
  std::vector<int> xy;
  for (const ValueId v : node.inputs)
    xy.push_back(l.graph.type(v).dtype == DType::boolean ? l[v] : l.add("Cast", {l[v]}, {{"to", DType::boolean}}));
  l.give(node.outputs[0], l.add(op, xy));
}

void lower_onnx_where(OnnxLowering& l, const Node& node) {
  const std::vector<int> xy = l.same_type({node.inputs[1], node.inputs[2]});
  l.give(node.outputs[0], l.add("Where", {l[node.inputs[0]], xy[0], xy[1]}));
}

template <int upper>
void lower_onnx_triangle(OnnxLowering& l, const Node& node) {
  const int k = l.constant(Tensor::scalar(static_cast<double>(node.integer("diagonal")), DType::int64), "diagonal");
  l.give(node.outputs[0], l.add("Trilu", {l[node.inputs[0]], k}, {{"upper", std::int64_t{upper}}}));
}

std::vector<ValueId> convert_onnx_triangle(Builder& b, const ForeignNode& node) {
  const auto diagonal = static_cast<std::int64_t>(onnx::fixed_number(b, node, 1, "diagonal").value_or(0));
  return {b(integer(node, "upper", 1) ? "triu" : "tril", {onnx::required(node, 0)}, {{"diagonal", diagonal}})};
}

}  // namespace

OpList compare() {
  static const OpDef defs[] = {
      {.name = "eq",
       .doc = "Whether x equals y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x == y; })>,
       .layout = any,
       .torch = {{"aten.eq.Tensor", "", 0, convert_pair<"eq">}, {"aten.eq.Scalar", "", 0, convert_pair<"eq">}},
       .onnx = {{"Equal", "x=0 y=1"}},
       .tflite = {.builtin = "EQUAL", .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx<"Equal">},
       .keras = {.layer = "ops.numpy.Equal"},
       .source = {"{x} == {y}", "keras.ops.equal({x}, {y})", "{x} == {y}"},
       .examples = {"eq(x: int64[2, 3] in 0..2, y: 1)"}},
      {.name = "ne",
       .doc = "Whether x differs from y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x != y; })>,
       .layout = any,
       .torch = {{"aten.ne.Tensor", "", 0, convert_pair<"ne">}, {"aten.ne.Scalar", "", 0, convert_pair<"ne">}},
       .tflite_in = {{"NOT_EQUAL", "x=0 y=1"}},
       .tflite = {.builtin = "NOT_EQUAL", .integers = "int32 int64", .uint64 = TflSlot::same_bits},
       .onnx_out = {.lower = lower_onnx_ne},
       .keras = {.layer = "ops.numpy.NotEqual"},
       .source = {"{x} != {y}", "keras.ops.not_equal({x}, {y})", "{x} != {y}"},
       .examples = {"ne(x: int64[2, 3] in 0..2, y: int64[3] in 0..2)"}},
      {.name = "lt",
       .doc = "Whether x is less than y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x < y; })>,
       .layout = any,
       .torch = {{"aten.lt.Tensor", "", 0, convert_pair<"lt">}, {"aten.lt.Scalar", "", 0, convert_pair<"lt">}},
       .onnx = {{"Less", "x=0 y=1"}},
       .tflite = {.builtin = "LESS", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"Less">},
       .keras = {.layer = "ops.numpy.Less"},
       .source = {"{x} < {y}", "keras.ops.less({x}, {y})", "{x} < {y}"},
       .examples = {"lt(x: float32[1, 4, 3, 3], y: float32[4, 1, 1])"}},
      {.name = "le",
       .doc = "Whether x is at most y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x <= y; })>,
       .layout = any,
       .torch = {{"aten.le.Tensor", "", 0, convert_pair<"le">}, {"aten.le.Scalar", "", 0, convert_pair<"le">}},
       .onnx = {{"LessOrEqual", "x=0 y=1", 12}},
       .tflite = {.builtin = "LESS_EQUAL", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"LessOrEqual">},
       .keras = {.layer = "ops.numpy.LessEqual"},
       .source = {"{x} <= {y}", "keras.ops.less_equal({x}, {y})", "{x} <= {y}"},
       .examples = {"le(x: float32[2, 3], y: 0.5)"}},
      {.name = "gt",
       .doc = "Whether x is greater than y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x > y; })>,
       .layout = any,
       .torch = {{"aten.gt.Tensor", "", 0, convert_pair<"gt">}, {"aten.gt.Scalar", "", 0, convert_pair<"gt">}},
       .onnx = {{"Greater", "x=0 y=1"}},
       .tflite = {.builtin = "GREATER", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"Greater">},
       .keras = {.layer = "ops.numpy.Greater"},
       .source = {"{x} > {y}", "keras.ops.greater({x}, {y})", "{x} > {y}"},
       .examples = {"gt(x: float32[2, 3], y: 0.5)"}},
      {.name = "ge",
       .doc = "Whether x is at least y, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_answer,
       .eval = answers<([](auto x, auto y) { return x >= y; })>,
       .layout = any,
       .torch = {{"aten.ge.Tensor", "", 0, convert_pair<"ge">}, {"aten.ge.Scalar", "", 0, convert_pair<"ge">}},
       .onnx = {{"GreaterOrEqual", "x=0 y=1", 12}},
       .tflite = {.builtin = "GREATER_EQUAL", .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx<"GreaterOrEqual">},
       .keras = {.layer = "ops.numpy.GreaterEqual"},
       .source = {"{x} >= {y}", "keras.ops.greater_equal({x}, {y})", "{x} >= {y}"},
       .examples = {"ge(x: float32[2, 3], y: float32[3])"}},
      {.name = "logical_and",
       .doc = "Whether both x and y are true, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_logical,
       .eval = answers<([](auto x, auto y) { return x && y; })>,
       .layout = any,
       .torch = {{"aten.logical_and.default", "", 0, convert_logical<"logical_and">},
                 {"aten.bitwise_and.Tensor", "", 0, convert_logical<"logical_and">},
                 {"aten.__and__.Tensor", "", 0, convert_logical<"logical_and">}},
       .onnx = {{"And", "x=0 y=1"}},
       .tflite = {.builtin = "LOGICAL_AND"},
       .onnx_out = {.lower = lower_onnx_logical<"And">},
       .keras = {.layer = "ops.numpy.LogicalAnd"},
       .source = {"torch.logical_and({x}, {y})", "keras.ops.logical_and({x}, {y})", "jnp.logical_and({x}, {y})"},
       .examples = {"logical_and(x: bool[2, 5], y: bool[5])"}},
      {.name = "logical_or",
       .doc = "Whether x or y is true, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_logical,
       .eval = answers<([](auto x, auto y) { return x || y; })>,
       .layout = any,
       .torch = {{"aten.logical_or.default", "", 0, convert_logical<"logical_or">},
                 {"aten.bitwise_or.Tensor", "", 0, convert_logical<"logical_or">},
                 {"aten.__or__.Tensor", "", 0, convert_logical<"logical_or">}},
       .onnx = {{"Or", "x=0 y=1"}},
       .tflite = {.builtin = "LOGICAL_OR"},
       .onnx_out = {.lower = lower_onnx_logical<"Or">},
       .keras = {.layer = "ops.numpy.LogicalOr"},
       .source = {"torch.logical_or({x}, {y})", "keras.ops.logical_or({x}, {y})", "jnp.logical_or({x}, {y})"},
       .examples = {"logical_or(x: bool[2, 5], y: bool[5])"}},
      {.name = "logical_xor",
       .doc = "Whether just one of x and y is true, element by element with broadcasting.",
       .inputs = two,
       .infer = infer_logical,
       .eval = answers<([](auto x, auto y) { return (x != 0) != (y != 0); })>,
       .layout = any,
       .torch = {{"aten.logical_xor.default", "", 0, convert_logical<"logical_xor">},
                 {"aten.bitwise_xor.Tensor", "", 0, convert_logical<"logical_xor">},
                 {"aten.__xor__.Tensor", "", 0, convert_logical<"logical_xor">}},
       .onnx = {{"Xor", "x=0 y=1"}},
       .tflite = {.builtin = "NOT_EQUAL"},
       .onnx_out = {.lower = lower_onnx_logical<"Xor">},
       .keras = {.layer = "ops.numpy.LogicalXor"},
       .source = {"torch.logical_xor({x}, {y})", "keras.ops.logical_xor({x}, {y})", "jnp.logical_xor({x}, {y})"},
       .examples = {"logical_xor(x: bool[2, 5], y: bool[5])"}},
      {.name = "where",
       .doc = "x where the condition is true, y where it is false, element by element with broadcasting.",
       .inputs = {{"condition", "true or false"}, {"x", "the choice where it is true"}, {"y", "the choice where it is false"}},
       .infer = infer_where,
       .eval = eval_where,
       .layout = any,
       .torch = {{"aten.where.self", "", 0, convert_where},
                 {"aten.where.ScalarOther", "", 0, convert_where},
                 {"aten.where.ScalarSelf", "", 0, convert_where},
                 {"aten.where.Scalar", "", 0, convert_where},
                 {"aten.masked_fill.Scalar", "", 0, convert_masked_fill},
                 {"aten.masked_fill.Tensor", "", 0, convert_masked_fill},
                 {"aten.masked_fill_.Scalar", "", 0, convert_masked_fill}},
       .onnx = {{"Where", "condition=0 x=1 y=2"}},
       .tflite_in = {{"SELECT", "condition=0 x=1 y=2"}, {"SELECT_V2", "condition=0 x=1 y=2"}},
       .tflite = {.lower = lower_where},
       .onnx_out = {.lower = lower_onnx_where},
       .keras = {.lower = keras_where},
       .source = {"torch.where({condition}, {x}, {y})", "keras.ops.where({condition}, {x}, {y})", "jnp.where({condition}, {x}, {y})"},
       .quant = {QuantRule::same_scale},
       .examples = {"where(condition: bool[1, 4, 3, 3], x: float32[1, 4, 3, 3], y: 0.0)",
                    "where(condition: bool[4, 3], x: float32[3], y: float32[2, 4, 3])", "where(condition: bool[5], x: 1.5, y: -0.5)"}},
      {.name = "tril",
       .doc = "x with zeros above a diagonal of its last two axes.",
       .inputs = {{"x", "a stack of matrices"}},
       .attrs = {{"diagonal", AttrKind::integer, std::int64_t{0}, "which diagonal stays whole: 0 the main one, above zero to its right"}},
       .infer = infer_triangle,
       .eval = eval_triangle,
       .expand = expand_triangle,
       .torch = {{"aten.tril.default", "x=self"}},
       .onnx = {{.target = "Trilu", .since = 14, .convert = convert_onnx_triangle}},
       .onnx_out = {.op = "Trilu-14", .lower = lower_onnx_triangle<0>},
       .source = {.torch = "torch.tril({x}, diagonal={diagonal?})",
                  .keras = "keras.ops.tril({x}, {diagonal})",
                  .jax = "jnp.tril({x}, k={diagonal?})"},
       .quant = {QuantRule::same_scale},
       .examples = {"tril(x: float32[3, 4])", "tril(x: float32[2, 3, 3], diagonal: -1)"}},
      {.name = "triu",
       .doc = "x with zeros below a diagonal of its last two axes.",
       .inputs = {{"x", "a stack of matrices"}},
       .attrs = {{"diagonal", AttrKind::integer, std::int64_t{0}, "which diagonal stays whole: 0 the main one, above zero to its right"}},
       .infer = infer_triangle,
       .eval = eval_triangle,
       .expand = expand_triangle,
       .torch = {{"aten.triu.default", "x=self"}},
       .onnx_out = {.op = "Trilu-14", .lower = lower_onnx_triangle<1>},
       .source = {.torch = "torch.triu({x}, diagonal={diagonal?})",
                  .keras = "keras.ops.triu({x}, {diagonal})",
                  .jax = "jnp.triu({x}, k={diagonal?})"},
       .quant = {QuantRule::same_scale},
       .examples = {"triu(x: float32[3, 4])", "triu(x: float32[2, 3, 3], diagonal: -1)"}},
  };
  return defs;
}

}  // namespace wherry::ops
