// One number out of many, along axes.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/lowering.h"

#include <limits>

namespace wherry::ops {

namespace {

const std::vector<Input> one = {{"x", "any tensor"}};
const std::vector<AttrDef> dim_keepdim = {{"dim", AttrKind::ints, None{}, "the axes that vanish; null: all", {}, false, true},
                                          {"keepdim", AttrKind::boolean, false, "whether they stay with size 1"}};

// The axes that a node reduces.
std::vector<int> reduced(const Node& node, int rank) {
  const Attr& attr = node.attr("dim");
  std::vector<int> axes;
  if (const Ints* dims = std::get_if<Ints>(&attr); dims && !dims->empty()) {
    for (const std::int64_t d : *dims) {
      axes.push_back(infer::axis(d, std::max(rank, 1)));
      if (std::count(axes.begin(), axes.end(), axes.back()) > 1) infer::fault(fmt::format("dim {} names an axis twice", text(attr)));
    }
    if (rank == 0) axes.clear();
  } else {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

Shape reduced_shape(const Node& node, const Shape& shape) {
  const std::vector<int> axes = reduced(node, static_cast<int>(shape.size()));
  Shape out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool gone = std::find(axes.begin(), axes.end(), static_cast<int>(i)) != axes.end();
    if (!gone) out.push_back(shape[i]);
    else if (node.flag("keepdim")) out.emplace_back(1);
  }
  return out;
}

std::vector<Type> infer_reduce(const OpTypes& t) { return {{t["x"].dtype, reduced_shape(t.node, t["x"].shape)}}; }
std::vector<Type> infer_mean(const OpTypes& t) {
  infer::needs_float(t, "x");
  return infer_reduce(t);
}

// acc[kept] = f(acc[kept], x) over all elements, x in row-major order; sums of floats accumulate as doubles.
template <class T, class Acc, class F> std::vector<Acc> fold(const Tensor& x, const Node& node, Acc start, F f) {
  const std::vector<int> axes = reduced(node, x.rank());
  Sizes strides(x.sizes().size());
  std::int64_t kept = 1;
  for (std::size_t i = strides.size(); i-- > 0;) {
    const bool gone = std::find(axes.begin(), axes.end(), static_cast<int>(i)) != axes.end();
    strides[i] = gone ? 0 : kept;
    if (!gone) kept *= x.sizes()[i];
  }
  std::vector<Acc> acc(static_cast<std::size_t>(kept), start);
  const T* from = x.as<T>().data();
  walk_rows(x.sizes(), {strides}, [&](std::int64_t at, const auto& to, std::int64_t n, const auto& step) {
    Acc* put = acc.data() + to[0];
    if (step[0] == 0) {
      Acc sum = *put;
      for (std::int64_t i = 0; i < n; ++i) sum = f(sum, from[at + i]);
      *put = sum;
    } else {
      for (std::int64_t i = 0; i < n; ++i) put[i * step[0]] = f(put[i * step[0]], from[at + i]);
    }
  });
  return acc;
}

template <class T> using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

template <bool mean> void eval_sum(OpValues& v) {
  with_type(v.node, v["x"].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto acc = fold<T>(v["x"], v.node, Wide<T>{0}, [](auto a, T b) { return a + b; });
    const auto out = v.out().mutable_as<T>();
    const double n = acc.empty() ? 1 : static_cast<double>(v["x"].count()) / static_cast<double>(acc.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(mean ? static_cast<double>(acc[i]) / n : static_cast<double>(acc[i]));
  });
}

// MEAN, SUM, …: the axes are named where they lie; what remains keeps its order.
void lower_reduce(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const std::vector<int> axes = reduced(node, static_cast<int>(order.size()));
  if (order.empty() || axes.empty()) return l.give(out, l.as_is(x), order);
  Ints placed;
  for (const int axis : axes) placed.push_back(order[static_cast<std::size_t>(axis)]);
  std::sort(placed.begin(), placed.end());
  const bool keep = node.flag("keepdim");
  const Order after = keep ? order : without_axes(order, axes);
  const Type type = ordered(l.graph.type(out), after);
  l.give(out, l.add(node.op->tflite.builtin, {l.as_is(x), tfl::int32s(l, placed)}, type, {{"keep_dims", keep}}), after);
}

// dim (or none: all), keepdim and dtype as ATen's reductions have them. `to_int`: bool and integers add up to int64.
template <Word op, bool to_int> std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  if (const std::optional<DType> type = dtype(node, "dtype")) x = cast(b, x, *type);
  else if (to_int && !is_float(b.type(x).dtype)) x = cast(b, x, DType::int64);
  std::vector<NamedAttr> attrs;
  if (given(node, "dim") && !ints(node, "dim").empty()) attrs.push_back({"dim", ints(node, "dim")});
  if (flag(node, "keepdim", false)) attrs.push_back({"keepdim", true});
  return {b(op, {x}, std::move(attrs))};
}

}  // namespace

OpList reduce() {
  static const OpDef defs[] = {
      {.name = "mean",
       .doc = "The average along axes.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = dim_keepdim,
       .infer = infer_mean,
       .eval = eval_sum<true>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.mean.dim", "", 0, convert<"mean", false>}, {"aten.mean.default", "", 0, convert<"mean", false>}},
       .tflite = {.builtin = "MEAN", .lower = lower_reduce},
       .source = {"torch.mean({x}, dim={dim}, keepdim={keepdim})", "keras.ops.mean({x}, axis={dim}, keepdims={keepdim})",
                  "jnp.mean({x}, axis={dim}, keepdims={keepdim})"},
       .quant = {QuantRule::own_range},
       .examples = {"mean(x: float32[1, 8, 4, 4], dim: [2, 3], keepdim: true)", "mean(x: float32[2, 8, 4, 4], dim: [-1, -2])",
                    "mean(x: float32[2, 3, 4], dim: 1)", "mean(x: float32[2, 3])"}},
      {.name = "sum",
       .doc = "The sum along axes.",
       .inputs = one,
       .attrs = dim_keepdim,
       .infer = infer_reduce,
       .eval = eval_sum<false>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.sum.dim_IntList", "", 0, convert<"sum", true>}, {"aten.sum.default", "", 0, convert<"sum", true>}},
       .tflite = {.builtin = "SUM", .lower = lower_reduce},
       .source = {"torch.sum({x}, dim={dim}, keepdim={keepdim})", "keras.ops.sum({x}, axis={dim}, keepdims={keepdim})",
                  "jnp.sum({x}, axis={dim}, keepdims={keepdim})"},
       .quant = {QuantRule::own_range},
       .examples = {"sum(x: float32[1, 8, 4, 4], dim: [2, 3], keepdim: true)", "sum(x: int64[2, 3], dim: 1)", "sum(x: float32[2, 3])"}},
  };
  return defs;
}

}  // namespace wherry::ops
