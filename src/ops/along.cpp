// Operators that walk along one axis.
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

const std::vector<Input> one = {{"x", "any tensor of numbers"}};

int one_axis(const Node& node, int rank) { return infer::axis(node.integer("dim"), std::max(rank, 1)); }

std::vector<Type> infer_arg(const OpTypes& t) {
  const Shape& x = t["x"].shape;
  Type out{DType::int64, {}};
  if (t.node.is_none("dim")) {
    if (t.node.flag("keepdim")) out.shape = Shape(x.size(), Dim(1));
    return {out};
  }
  out.shape = x;
  const int axis = one_axis(t.node, static_cast<int>(x.size()));
  if (x.empty()) return {out};
  if (x[static_cast<std::size_t>(axis)] == Dim(0)) infer::fault(fmt::format("{} of no elements", t.node.op->name));
  if (t.node.flag("keepdim"))
    out.shape[static_cast<std::size_t>(axis)] = Dim(1);
  else
    out.shape.erase(out.shape.begin() + axis);
  return {out};
}

// Lines along one axis: start and step of each.
template <class F>
void each_line(const Sizes& sizes, int axis, F f) {
  std::int64_t inner = 1;
  for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < sizes.size(); ++i) inner *= sizes[i];
  const std::int64_t n = sizes.empty() ? 1 : sizes[static_cast<std::size_t>(axis)], count = element_count(sizes);
  for (std::int64_t line = 0; n > 0 && line < count / n; ++line) f(line, line / inner * n * inner + line % inner, inner, n);
}

template <auto better>
void eval_arg(OpValues& v) {
  const bool all = v.node.is_none("dim");
  const Tensor& x = v["x"];
  const Sizes sizes = all ? Sizes{x.count()} : x.sizes();
  with_type(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>().data();
    const auto out = v.out().mutable_as<std::int64_t>();
    each_line(sizes, all ? 0 : one_axis(v.node, x.rank()), [&](std::int64_t line, std::int64_t start, std::int64_t step, std::int64_t n) {
      std::int64_t best = 0;
      for (std::int64_t i = 1; i < n; ++i)
        if (better(from[start + i * step], from[start + best * step])) best = i;
      out[static_cast<std::size_t>(line)] = best;
    });
  });
}

// ARG_MAX drops its axis; a RESHAPE brings it back where keepdim wants it.
void lower_arg(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type& in = l.graph.type(x);
  const Type& type = l.graph.type(out);
  const auto rank = static_cast<int>(in.shape.size());
  if (rank == 0) return l.give_source_order(out, l.constant(Tensor::allocate(DType::int64, {})));
  const auto pick = [&](int tensor, int axis, const Type& picked) {
    return l.add(node.op->tflite.builtin, {tensor, l.constant(Tensor::scalar(axis, DType::int32))}, picked,
                 {{"output_type", DType::int64}});
  };
  if (node.is_none("dim")) {
    const int flat = tfl::reshape(l, l.source_order(x), {in.dtype, {element_count(in.shape)}});
    return l.give_source_order(out, tfl::reshape(l, pick(flat, 0, {DType::int64, {}}), type));
  }
  const int axis = one_axis(node, rank);
  const Order order = l.order(x), closed = without_axes(order, {axis});
  Shape left = in.shape;
  left.erase(left.begin() + axis);
  const int picked = pick(l.as_is(x), order[static_cast<std::size_t>(axis)], ordered({DType::int64, left}, closed));
  if (!node.flag("keepdim")) return l.give(out, picked, closed);
  l.give(out, tfl::reshape(l, picked, ordered(type, order)), order);
}

std::vector<Type> infer_cumsum(const OpTypes& t) {
  one_axis(t.node, static_cast<int>(t["x"].shape.size()));
  return {t["x"]};
}

// line(from, to, step, n) for each line along the axis, in the type of x.
template <class F>
void eval_lines(OpValues& v, F line) {
  const Tensor& x = v["x"];
  with_type(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>().data();
    T* to = v.out().mutable_as<T>().data();
    each_line(x.sizes(), one_axis(v.node, x.rank()),
              [&](std::int64_t, std::int64_t start, std::int64_t step, std::int64_t n) { line(from + start, to + start, step, n); });
  });
}

void eval_cumsum(OpValues& v) {
  eval_lines(v, []<class T>(const T* from, T* to, std::int64_t step, std::int64_t n) {
    std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t> sum = 0;
    for (std::int64_t i = 0; i < n; ++i) to[i * step] = static_cast<T>(sum += modular(from[i * step]));
  });
}

void lower_cumsum(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  if (order.empty()) return l.give(out, l.as_is(x), order);
  const int axis = order[static_cast<std::size_t>(one_axis(node, static_cast<int>(order.size())))];
  l.give(out,
         l.add("CUMSUM", {l.as_is(x), l.constant(Tensor::scalar(axis, DType::int32))}, ordered(l.graph.type(out), order),
               {{"exclusive", false}, {"reverse", false}}),
         order);
}

template <Word op>
std::vector<ValueId> convert_arg(Builder& b, const ForeignNode& node) {
  return {b(op, {node.value("self")}, {{"dim", optional_integer(node, "dim")}, {"keepdim", flag(node, "keepdim", false)}})};
}

std::vector<ValueId> convert_cumsum(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  if (const std::optional<DType> type = dtype(node, "dtype"))
    x = cast(b, x, *type);
  else if (!is_float(b.type(x).dtype))
    x = cast(b, x, DType::int64);
  return {b("cumsum", {x}, {{"dim", integer(node, "dim")}})};
}

const std::vector<AttrDef> arg_attrs = {{"dim", AttrKind::integer, None{}, "the axis; null: all elements in a row", {}, false, true},
                                        {"keepdim", AttrKind::boolean, false, "whether the axis stays with size 1"}};

template <Word op>
std::vector<ValueId> convert_tflite_arg(Builder& b, const ForeignNode& node) {
  const Ints axis = tfl_in::constant_ints(b, node, 1);
  if (axis.size() != 1) refuse(node, fmt::format("'{}' along {} axes", node.target, axis.size()));
  const ValueId y = b(op, {tfl_in::input(node, 0)}, {{"dim", axis[0]}});
  return {cast(b, y, node.output_types.at(0).dtype)};
}

std::vector<ValueId> convert_tflite_cumsum(Builder& b, const ForeignNode& node) {
  const Ints axis = tfl_in::constant_ints(b, node, 1);
  if (axis.size() != 1 || flag(node, "exclusive", false) || flag(node, "reverse", false))
    refuse(node, "CUMSUM exclusive, in reverse or along several axes");
  return {cast(b, b("cumsum", {tfl_in::input(node, 0)}, {{"dim", axis[0]}}), node.output_types.at(0).dtype)};
}

void keras_arg(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type type = k.graph.type(out);
  const auto rank = static_cast<int>(k.graph.type(x).shape.size());
  if (rank == 0) k.refuse(node, "it takes the position in a single number");
  if (node.is_none("dim")) {
    k.touch(0);
    const KerasEntry keep{"keepdims", node.flag("keepdim")};
    return k.give_source_order(out, k.add(node.op->keras.layer, {KerasRef{k.source_order(x)}}, type, {{"axis", None{}}, keep}));
  }
  const int axis = one_axis(node, rank);
  const Order order = k.order(x);
  const int at = order[static_cast<std::size_t>(axis)];
  k.touch(at);
  const bool keep = node.flag("keepdim");
  const Order after = keep ? order : without_axes(order, {axis});
  k.give(out, k.add(node.op->keras.layer, {KerasRef{k.as_is(x)}}, ordered(type, after), {{"axis", std::int64_t{at}}, {"keepdims", keep}}),
         after);
}

void keras_cumsum(KerasLowering& k, const Node& node) {
  const Order order = k.order(node.inputs[0]);
  if (order.empty()) return k.give(node.outputs[0], k.as_is(node.inputs[0]), order);
  const int axis = order[static_cast<std::size_t>(one_axis(node, static_cast<int>(order.size())))];
  k.touch(axis);
  keras::lower_each(k, node, "ops.numpy.Cumsum", {{"axis", std::int64_t{axis}}});
}

// The last of equal ones is the first from behind.
template <Word op>
std::vector<ValueId> convert_onnx_arg(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const std::int64_t axis = integer(node, "axis", 0);
  const bool keepdim = flag(node, "keepdims", true);
  if (integer(node, "select_last_index", 0) == 0) return {b(op, {x}, {{"dim", axis}, {"keepdim", keepdim}})};
  const Shape shape = b.type(x).shape;
  const Dim size = shape[static_cast<std::size_t>(infer::axis(axis, static_cast<int>(shape.size())))];
  if (!size.known()) refuse(node, "select_last_index needs an axis whose size is known");
  const ValueId behind = b(op, {b("flip", {x}, {{"dims", Ints{axis}}})}, {{"dim", axis}, {"keepdim", keepdim}});
  return {b("sub", {b.scalar(static_cast<double>(size.size() - 1), DType::int64), behind})};
}

std::vector<ValueId> convert_onnx_cumsum(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const auto axis = static_cast<std::int64_t>(onnx::fixed_number(b, node, 1, "axis").value_or(0));
  const bool reverse = flag(node, "reverse", false);
  const auto turned = [&](ValueId v) { return reverse ? b("flip", {v}, {{"dims", Ints{axis}}}) : v; };
  const ValueId sum = turned(b("cumsum", {turned(x)}, {{"dim", axis}}));
  return {flag(node, "exclusive", false) ? b("sub", {sum, x}) : sum};
}

// One position after the other, each times what came before it.
std::vector<ValueId> expand_cumprod(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Shape shape = b.type(x).shape;
  if (shape.empty()) return {x};
  const int axis = one_axis(node, static_cast<int>(shape.size()));
  const Dim size = shape[static_cast<std::size_t>(axis)];
  if (!size.known() || size.size() > 4096)
    fail({.code = "E504",
          .message = fmt::format("cumprod is written out along an axis of {}; up to 4096 are", size.text()),
          .at = node.where(),
          .next = "give the axis a smaller size, or keep the operator out of the model"});
  std::vector<ValueId> parts;
  for (std::int64_t i = 0; i < size.size(); ++i) {
    const ValueId part = b("slice", {x}, {{"dim", std::int64_t{axis}}, {"start", i}, {"end", i + 1}});
    parts.push_back(parts.empty() ? part : b("mul", {parts.back(), part}));
  }
  return {parts.size() < 2 ? x : b("cat", parts, {{"dim", std::int64_t{axis}}})};
}

void eval_cumprod(OpValues& v) {
  eval_lines(v, []<class T>(const T* from, T* to, std::int64_t step, std::int64_t n) {
    T product = 1;
    for (std::int64_t i = 0; i < n; ++i) to[i * step] = product = static_cast<T>(product * from[i * step]);
  });
}

std::vector<ValueId> convert_cumprod(Builder& b, const ForeignNode& node) {
  const std::optional<DType> type = dtype(node, "dtype");
  const ValueId x = type ? cast(b, node.value("self"), *type) : node.value("self");
  return {b("cumprod", {x}, {{"dim", integer(node, "dim")}})};
}

// Exclusive: of all before each, a one in front.
std::vector<ValueId> convert_onnx_cumprod(Builder& b, const ForeignNode& node) {
  ValueId x = onnx::required(node, 0);
  const auto rank = static_cast<int>(onnx::rank(b, x));
  const auto given = static_cast<std::int64_t>(onnx::fixed_number(b, node, 1, "axis").value_or(0));
  const std::int64_t axis = infer::axis(given, std::max(rank, 1));
  const bool reverse = flag(node, "reverse", false);
  const auto turned = [&](ValueId v) { return reverse ? b("flip", {v}, {{"dims", Ints{axis}}}) : v; };
  x = turned(x);
  if (flag(node, "exclusive", false)) {
    Ints pad(2 * static_cast<std::size_t>(rank - axis), 0);
    pad[pad.size() - 2] = 1, pad.back() = -1;
    x = b("pad", {x}, {{"pad", pad}, {"value", 1.0}});
  }
  return {turned(b("cumprod", {x}, {{"dim", axis}}))};
}

// Without an axis: of all elements in a row.
template <Word op>
void lower_onnx_arg(OnnxLowering& l, const Node& node) {
  const ValueId out = node.outputs[0];
  int x = l[node.inputs[0]];
  const bool all = node.is_none("dim");
  if (all) x = l.add("Reshape", {x, l.ints({-1}, "shape")});
  const std::int64_t axis = all ? 0 : node.integer("dim");
  const int y = l.add(op, {x}, {{"axis", axis}, {"keepdims", std::int64_t{!all && node.flag("keepdim")}}});
  if (!all || !node.flag("keepdim")) return l.give(out, y);
  l.give(out, l.add("Reshape", {y, l.ints(Ints(l.graph.type(out).shape.size(), 1), "result")}));
}

void lower_onnx_cumsum(OnnxLowering& l, const Node& node) {
  const int axis = l.constant(Tensor::scalar(static_cast<double>(node.integer("dim")), DType::int64), "axis");
  l.give(node.outputs[0], l.add("CumSum", {l[node.inputs[0]], axis}));
}

}  // namespace

OpList along() {
  static const OpDef defs[] = {
      {.name = "argmax",
       .doc = "The position of the greatest value along an axis, the first of equal ones.",
       .inputs = one,
       .attrs = arg_attrs,
       .infer = infer_arg,
       .eval = eval_arg<([](auto a, auto b) { return a > b || (a != a && b == b); })>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.argmax.default", "", 0, convert_arg<"argmax">}},
       .onnx = {{.target = "ArgMax", .convert = convert_onnx_arg<"argmax">}},
       .tflite_in = {{"ARG_MAX", "", 0, convert_tflite_arg<"argmax">}},
       .tflite = {.builtin = "ARG_MAX", .lower = lower_arg, .integers = "int32"},
       .onnx_out = {.lower = lower_onnx_arg<"ArgMax">},
       .keras = {.layer = "ops.numpy.Argmax", .lower = keras_arg},
       .source = {.torch = "torch.argmax({x}, dim={dim}, keepdim={keepdim?})",
                  .keras = "keras.ops.argmax({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.argmax({x}, axis={dim}, keepdims={keepdim?})"},
       .examples = {"argmax(x: float32[2, 10], dim: -1)", "argmax(x: float32[1, 8, 4, 4], dim: 1, keepdim: true)",
                    "argmax(x: float32[3, 4])"}},
      {.name = "argmin",
       .doc = "The position of the least value along an axis, the first of equal ones.",
       .inputs = one,
       .attrs = arg_attrs,
       .infer = infer_arg,
       .eval = eval_arg<([](auto a, auto b) { return a < b || (a != a && b == b); })>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.argmin.default", "", 0, convert_arg<"argmin">}},
       .onnx = {{.target = "ArgMin", .convert = convert_onnx_arg<"argmin">}},
       .tflite_in = {{"ARG_MIN", "", 0, convert_tflite_arg<"argmin">}},
       .tflite = {.builtin = "ARG_MIN", .lower = lower_arg, .integers = "int32"},
       .onnx_out = {.lower = lower_onnx_arg<"ArgMin">},
       .keras = {.layer = "ops.numpy.Argmin", .lower = keras_arg},
       .source = {.torch = "torch.argmin({x}, dim={dim}, keepdim={keepdim?})",
                  .keras = "keras.ops.argmin({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.argmin({x}, axis={dim}, keepdims={keepdim?})"},
       .examples = {"argmin(x: float32[2, 10], dim: -1)", "argmin(x: float32[1, 8, 4, 4], dim: 1, keepdim: true)",
                    "argmin(x: float32[3, 4])"}},
      {.name = "cumsum",
       .doc = "The sum of all elements up to each, along an axis.",
       .inputs = one,
       .attrs = {{"dim", AttrKind::integer, {}, "the axis"}},
       .infer = infer_cumsum,
       .eval = eval_cumsum,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.cumsum.default", "", 0, convert_cumsum}},
       .onnx = {{.target = "CumSum", .convert = convert_onnx_cumsum}},
       .tflite_in = {{"CUMSUM", "", 0, convert_tflite_cumsum}},
       .tflite = {.lower = lower_cumsum, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx_cumsum},
       .keras = {.lower = keras_cumsum},
       .source = {.torch = "torch.cumsum({x}, dim={dim})",
                  .keras = "keras.ops.cumsum({x}, axis={dim})",
                  .jax = "jnp.cumsum({x}, axis={dim})"},
       .quant = {QuantRule::own_range},
       .examples = {"cumsum(x: float32[2, 5], dim: 1)", "cumsum(x: float32[1, 4, 3, 3], dim: 1)"}},
      {.name = "cumprod",
       .doc = "The product of all elements up to each, along an axis.",
       .inputs = one,
       .attrs = {{"dim", AttrKind::integer, {}, "the axis"}},
       .infer = infer_cumsum,
       .eval = eval_cumprod,
       .expand = expand_cumprod,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.cumprod.default", "", 0, convert_cumprod}},
       .onnx = {{.target = "CumProd", .since = 26, .convert = convert_onnx_cumprod}},
       .source = {.torch = "torch.cumprod({x}, dim={dim})",
                  .keras = "keras.ops.cumprod({x}, axis={dim})",
                  .jax = "jnp.cumprod({x}, axis={dim})"},
       .quant = {QuantRule::float_only},
       .examples = {"cumprod(x: float32[2, 5], dim: 1)"}},
  };
  return defs;
}

}  // namespace wherry::ops
