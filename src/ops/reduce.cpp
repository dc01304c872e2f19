// One number out of many, along axes.
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
    if (!gone)
      out.push_back(shape[i]);
    else if (node.flag("keepdim"))
      out.emplace_back(1);
  }
  return out;
}

std::vector<Type> infer_reduce(const OpTypes& t) { return {{t["x"].dtype, reduced_shape(t.node, t["x"].shape)}}; }
std::vector<Type> infer_mean(const OpTypes& t) {
  infer::needs_float(t, "x");
  return infer_reduce(t);
}

// acc[kept] = f(acc[kept], x) over all elements, x in row-major order; sums of floats accumulate as doubles.
template <class T, class Acc, class F>
std::vector<Acc> fold(const Tensor& x, const Node& node, Acc start, F f) {
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

template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

template <bool mean>
void eval_sum(OpValues& v) {
  with_type(v.node, v["x"].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto acc = fold<T>(v["x"], v.node, Wide<T>{0}, [](Wide<T> a, T b) { return static_cast<Wide<T>>(modular(a) + modular(b)); });
    const auto out = v.out().mutable_as<T>();
    const double n = acc.empty() ? 1 : static_cast<double>(v["x"].count()) / static_cast<double>(acc.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = mean ? static_cast<T>(static_cast<double>(acc[i]) / n) : static_cast<T>(acc[i]);
  });
}

template <auto f>
void eval_pick(OpValues& v) {  // amax, amin, prod: the first element of each group starts it
  with_type(v.node, v["x"].dtype(), [&](auto zero) {
    using T = decltype(zero);
    struct Start {
      T value;
      bool set;
    };
    const auto acc = fold<T>(v["x"], v.node, Start{0, false}, [](Start a, T b) {
      return Start{a.set ? static_cast<T>(f(a.value, b)) : b, true};
    });
    const auto out = v.out().mutable_as<T>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = acc[i].set ? acc[i].value : T{1};  // the empty product
  });
}

std::vector<Type> infer_extreme(const OpTypes& t) {
  Dim count(1);
  for (const int axis : reduced(t.node, static_cast<int>(t["x"].shape.size())))
    count = count * t["x"].shape[static_cast<std::size_t>(axis)];
  if (count == Dim(0)) infer::fault(fmt::format("{} of no elements", t.node.op->name));
  return infer_reduce(t);
}

double group_size(Builder& b, const Node& node) {
  const Shape& shape = b.type(node.inputs[0]).shape;
  double n = 1;
  for (const int axis : reduced(node, static_cast<int>(shape.size()))) {
    const Dim& d = shape[static_cast<std::size_t>(axis)];
    if (!d.known())
      fail({.code = "E504",
            .message = fmt::format("{} over an axis of size {} needs that size", node.op->name, d.text()),
            .at = node.where(),
            .next = "export the model with fixed sizes"});
    n *= static_cast<double>(d.size());
  }
  return n;
}

// The mean of the squared distances from the mean, times n / (n - correction).
std::vector<ValueId> expand_var(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const ValueId centred = b("sub", {x, b("mean", {x}, {{"dim", node.attr("dim")}, {"keepdim", true}})});
  ValueId y = b("mean", {b("square", {centred})}, {{"dim", node.attr("dim")}, {"keepdim", node.flag("keepdim")}});
  const double n = group_size(b, node), correction = node.number("correction");
  if (correction != 0) y = b("mul", {y, b.scalar(n / std::max(0.0, n - correction), b.type(x).dtype)});
  return {y};
}

std::vector<ValueId> expand_std(Builder& b, const Node& node) {
  return {b("sqrt", {b("var", {node.inputs[0]},
                       {{"dim", node.attr("dim")}, {"correction", node.attr("correction")}, {"keepdim", node.attr("keepdim")}})})};
}

template <bool root>
void eval_var(OpValues& v) {
  with_float(v.node, v["x"].dtype(), [&](auto zero) {
    using T = decltype(zero);
    struct Moments {  // Welford's
      double n, mean, squares;
    };
    const auto acc = fold<T>(v["x"], v.node, Moments{0, 0, 0}, [](Moments m, T x) {
      const double n = m.n + 1, away = static_cast<double>(x) - m.mean, mean = m.mean + away / n;
      return Moments{n, mean, m.squares + away * (static_cast<double>(x) - mean)};
    });
    const double correction = v.node.number("correction");
    const auto out = v.out().mutable_as<T>();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double var = acc[i].squares / std::max(0.0, acc[i].n - correction);
      out[i] = static_cast<T>(root ? std::sqrt(var) : var);
    }
  });
}

// MEAN, SUM, …: the axes are named where they lie; what remains keeps its order.
// Neighbouring axes that all go, or all stay, are one axis.
int reduce_in_runs(TflLowering& l, std::string_view builtin, int x, const Type& type, const Ints& axes) {
  Type seen{type.dtype, {}}, kept{type.dtype, {}};
  std::vector<std::int64_t> runs;
  std::optional<bool> before;
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    const bool goes = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (before == goes) {
      seen.shape.back() = seen.shape.back() * type.shape[i];
    } else {
      if (goes) runs.push_back(std::ssize(seen.shape));
      seen.shape.push_back(type.shape[i]);
    }
    before = goes;
  }
  for (std::size_t i = 0; i < seen.shape.size(); ++i)
    if (std::find(runs.begin(), runs.end(), static_cast<std::int64_t>(i)) == runs.end()) kept.shape.push_back(seen.shape[i]);
  return l.add(builtin, {tfl::reshape(l, x, seen), tfl::int32s(l, runs)}, kept, {{"keep_dims", false}});
}

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
  std::string_view builtin = node.op->tflite.builtin;
  if (type.dtype == DType::boolean && builtin == "REDUCE_MAX") builtin = "REDUCE_ANY";
  if (type.dtype == DType::boolean && builtin == "REDUCE_MIN") builtin = "REDUCE_ALL";
  const Type whole = ordered(l.graph.type(x), order);
  if (whole.shape.size() > tfl::most_axes && is_static(whole.shape))
    return l.give(out, tfl::reshape(l, reduce_in_runs(l, builtin, l.as_is(x), whole, placed), type), after);
  l.give(out, l.add(builtin, {l.as_is(x), tfl::int32s(l, placed)}, type, {{"keep_dims", keep}}), after);
}

// ATen says "all axes" by None and by an empty list.
Attr axes(const ForeignNode& node) {
  const Attr dim = optional_ints(node, "dim");
  const Ints* list = std::get_if<Ints>(&dim);
  return list && list->empty() ? Attr(None{}) : dim;
}

// dim (or none: all), keepdim and dtype as ATen's reductions have them. `to_int`: bool and integers add up to int64.
template <Word op, bool to_int>
std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  if (const std::optional<DType> type = dtype(node, "dtype"))
    x = cast(b, x, *type);
  else if (to_int && !is_float(b.type(x).dtype))
    x = cast(b, x, DType::int64);
  return {b(op, {x}, {{"dim", axes(node)}, {"keepdim", flag(node, "keepdim", false)}})};
}

// max.dim gives values and indices: the values here; a use of the indices is reported by the importer.
template <Word op>
std::vector<ValueId> convert_values(Builder& b, const ForeignNode& node) {
  return convert<op, false>(b, node);
}

template <Word op>
std::vector<ValueId> convert_var(Builder& b, const ForeignNode& node) {
  const double correction = number(node, "correction", flag(node, "unbiased", true) ? 1.0 : 0.0);
  return {b(op, {node.value("self")}, {{"dim", axes(node)}, {"correction", correction}, {"keepdim", flag(node, "keepdim", false)}})};
}

template <Word op>
std::vector<ValueId> convert_var_mean(Builder& b, const ForeignNode& node) {
  return {convert_var<op>(b, node)[0], convert<"mean", false>(b, node)[0]};
}

// (sum |x|^ord)^(1 / ord); in the limits the greatest or the least |x|, or how many are not zero.
template <Word order>
std::vector<ValueId> convert_norm(Builder& b, const ForeignNode& node) {
  const double ord = number(node, order, 2);
  ValueId x = node.value("self");
  if (const std::optional<DType> type = dtype(node, "dtype")) x = cast(b, x, *type);
  const auto reduced = [&](std::string_view op, ValueId of) {
    return b(op, {of}, {{"dim", axes(node)}, {"keepdim", flag(node, "keepdim", false)}});
  };
  const DType type = b.type(x).dtype;
  if (ord == 2) return {b("sqrt", {reduced("sum", b("square", {x}))})};
  if (ord == 0) return {reduced("sum", cast(b, cast(b, x, DType::boolean), type))};
  const ValueId sizes = b("abs", {x});
  if (std::isinf(ord)) return {reduced(ord > 0 ? "amax" : "amin", sizes)};
  if (ord == 1) return {reduced("sum", sizes)};
  return {b("pow", {reduced("sum", b("pow", {sizes, b.scalar(ord, type)})), b.scalar(1 / ord, type)})};
}

const std::vector<AttrDef> var_attrs = {
    dim_keepdim[0], {"correction", AttrKind::number, 1.0, "what is taken from the count of elements"}, dim_keepdim[1]};

template <Word op>
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  const Ints dims = tfl_in::constant_ints(b, node, 1);
  if (dims.empty()) return {x};
  return {b(op, {x}, {{"dim", dims}, {"keepdim", flag(node, "keep_dims", false)}})};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view prod_torch_source = R"py(
def prod(x, dim, keepdim=False):
    """The product along several axes."""
    for d in sorted((d % x.ndim for d in dim), reverse=True):
        x = torch.prod(x, d, keepdim=keepdim)
    return x
)py";

template <bool greatest>
void source_of_extreme(SourceSlot& slot, const Graph&, std::span<const Node* const> nodes) {
  if (!nodes[0]->is_none("dim")) return;  // PyTorch's word for all axes is an empty list
  slot.torch = greatest ? "torch.amax({x}, dim=(), keepdim={keepdim?})" : "torch.amin({x}, dim=(), keepdim={keepdim?})";
}

void source_of_prod(SourceSlot& slot, const Graph&, std::span<const Node* const> nodes) {
  const Ints* dim = std::get_if<Ints>(&nodes[0]->attr("dim"));
  if (dim && dim->size() > 1) return;
  slot.torch = dim ? "torch.prod({x}, {dim!}, keepdim={keepdim?})" : "torch.prod({x})";
  slot.torch_helpers = {};
}

// An average over the places alone is the layer that has a name for it.
void keras_reduce(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = k.order(x);
  const std::vector<int> axes = reduced(node, static_cast<int>(order.size()));
  if (order.empty() || axes.empty()) return k.give(out, k.as_is(x), order);
  Ints placed;
  for (const int axis : axes) placed.push_back(order[static_cast<std::size_t>(axis)]), k.touch(order[static_cast<std::size_t>(axis)]);
  std::sort(placed.begin(), placed.end());
  const bool keep = node.flag("keepdim");
  const Order after = keep ? order : without_axes(order, axes);
  const Type type = ordered(k.graph.type(out), after);
  if (k.batched() && node.op->name == "mean" && order.size() == 4 && placed == Ints{1, 2})
    return k.give(out, k.add("GlobalAveragePooling2D", {KerasRef{k.as_is(x)}}, type, {{"keepdims", keep}}), after);
  k.give(out, k.add(node.op->keras.layer, {KerasRef{k.as_is(x)}}, type, {{"axis", placed}, {"keepdims", keep}}), after);
}

// ---- ONNX: axes are an attribute, since opset 18 (ReduceSum: 13) an input ----

struct OnnxAxes {
  Attr dim;               // None: all
  bool keepdim, nothing;  // nothing: no axes, and none is meant
};

OnnxAxes onnx_axes(Builder& b, const ForeignNode& node) {
  const Ints axes = onnx::fixed_ints(b, node, 1, "axes").value_or(Ints{});
  const bool none = axes.empty() && flag(node, "noop_with_empty_axes", false);
  return {axes.empty() ? Attr(None{}) : Attr(axes), flag(node, "keepdims", true), none};
}

ValueId reduced_onnx(Builder& b, const ForeignNode& node, std::string_view op, ValueId x, std::optional<bool> keepdim = {}) {
  const OnnxAxes axes = onnx_axes(b, node);
  return axes.nothing ? x : b(op, {x}, {{"dim", axes.dim}, {"keepdim", keepdim.value_or(axes.keepdim)}});
}

template <Word op>
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), y = reduced_onnx(b, node, op, x);
  return {y == x ? b("identity", {x}) : y};
}

// Of no elements: what any other would win against.
template <Word op, int sign>
std::vector<ValueId> convert_onnx_extreme(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const Type type = b.type(x);
  const bool floats = is_float(type.dtype), bools = type.dtype == DType::boolean;
  if (!(element_count(type.shape) == Dim(0)) || !(floats || bools)) return convert_onnx<op>(b, node);
  const ValueId empty = reduced_onnx(b, node, "sum", x);  // of the shape wanted
  if (bools) return {b("full", {}, {{"size", sizes(b.type(empty).shape)}, {"fill_value", sign > 0 ? 1.0 : 0.0}, {"dtype", type.dtype}})};
  return {b("full", {},
            {{"size", sizes(b.type(empty).shape)}, {"fill_value", sign * std::numeric_limits<double>::infinity()}, {"dtype", type.dtype}})};
}

// sum(before(x)), then `after`: norms and logarithms of sums.
template <Word before, Word after>
std::vector<ValueId> convert_onnx_sum(Builder& b, const ForeignNode& node) {
  ValueId y = onnx::required(node, 0);
  if (!std::string_view(before).empty()) y = b(before, {y});
  y = reduced_onnx(b, node, "sum", y);
  const DType type = b.type(y).dtype;
  if (!std::string_view(after).empty()) y = cast(b, b(after, {cast(b, y, is_float(type) ? type : DType::float32)}), type);
  return {y};
}

// log(sum(exp(x - m))) + m with the greatest m, so that nothing overflows.
std::vector<ValueId> convert_onnx_log_sum_exp(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  if (!is_float(b.type(x).dtype) || element_count(b.type(x).shape) == Dim(0)) return convert_onnx_sum<"exp", "log">(b, node);
  const OnnxAxes axes = onnx_axes(b, node);
  if (axes.nothing) return {b("identity", {x})};
  const ValueId greatest = b("amax", {x}, {{"dim", axes.dim}, {"keepdim", true}});
  const ValueId sum = b("sum", {b("exp", {b("sub", {x, greatest})})}, {{"dim", axes.dim}, {"keepdim", axes.keepdim}});
  const ValueId shift = axes.keepdim ? greatest : b("amax", {x}, {{"dim", axes.dim}});
  return {b("add", {b("log", {sum}), shift})};
}

template <Word op, int since>
void lower_onnx(OnnxLowering& l, const Node& node) {
  const ValueId x = node.inputs[0];
  Ints axes;
  for (const int axis : reduced(node, static_cast<int>(l.graph.type(x).shape.size()))) axes.push_back(axis);
  if (axes.empty()) return l.give(node.outputs[0], l.add("Identity", {l[x]}));
  const Attr keep = std::int64_t{node.flag("keepdim")};
  const int y = l.opset < since ? l.add(op, {l[x]}, {{"axes", axes}, {"keepdims", keep}})
                                : l.add(op, {l[x], l.ints(axes, "axes")}, {{"keepdims", keep}});
  l.give(node.outputs[0], y);
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
       .onnx = {{.target = "ReduceMean", .convert = convert_onnx<"mean">}},
       .tflite_in = {{"MEAN", "", 0, convert_tflite<"mean">}},
       .tflite = {.builtin = "MEAN", .lower = lower_reduce, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx<"ReduceMean", 18>},
       .keras = {.layer = "ops.numpy.Mean", .lower = keras_reduce},
       .source = {.torch = "torch.mean({x}, dim={dim!}, keepdim={keepdim?})",
                  .keras = "keras.ops.mean({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.mean({x}, axis={dim!}, keepdims={keepdim?})"},
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
       .torch = {{"aten.sum.dim_IntList", "", 0, convert<"sum", true>},
                 {"aten.sum.default", "", 0, convert<"sum", true>},
                 {"aten.linalg_vector_norm.default", "", 0, convert_norm<"ord">},
                 {"aten.norm.Scalar", "", 0, convert_norm<"p">},
                 {"aten.norm.ScalarOpt_dim", "", 0, convert_norm<"p">},
                 {"aten.norm.ScalarOpt_dim_dtype", "", 0, convert_norm<"p">}},
       .onnx = {{.target = "ReduceSum", .convert = convert_onnx<"sum">},
                {.target = "ReduceL1", .convert = convert_onnx_sum<"abs", "">},
                {.target = "ReduceL2", .convert = convert_onnx_sum<"square", "sqrt">},
                {.target = "ReduceSumSquare", .convert = convert_onnx_sum<"square", "">},
                {.target = "ReduceLogSum", .convert = convert_onnx_sum<"", "log">},
                {.target = "ReduceLogSumExp", .convert = convert_onnx_log_sum_exp}},
       .tflite_in = {{"SUM", "", 0, convert_tflite<"sum">}},
       .tflite = {.builtin = "SUM", .lower = lower_reduce, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx<"ReduceSum", 13>},
       .keras = {.layer = "ops.numpy.Sum", .lower = keras_reduce},
       .source = {.torch = "torch.sum({x}, dim={dim!}, keepdim={keepdim?})",
                  .keras = "keras.ops.sum({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.sum({x}, axis={dim!}, keepdims={keepdim?})"},
       .quant = {QuantRule::own_range},
       .examples = {"sum(x: float32[1, 8, 4, 4], dim: [2, 3], keepdim: true)", "sum(x: int64[2, 3], dim: 1)", "sum(x: float32[2, 3])",
                    "sum(x: float32[1, 2, 3, 2, 2, 1, 3], dim: [2, 4])"}},
      {.name = "amax",
       .doc = "The greatest value along axes.",
       .inputs = one,
       .attrs = dim_keepdim,
       .infer = infer_extreme,
       .eval = eval_pick<([](auto a, auto b) { return a < b || b != b ? b : a; })>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.amax.default", "", 0, convert<"amax", false>},
                 {"aten.max.default", "", 0, convert<"amax", false>},
                 {"aten.max.dim", "", 0, convert_values<"amax">}},
       .onnx = {{.target = "ReduceMax", .convert = convert_onnx_extreme<"amax", -1>}},
       .tflite_in = {{"REDUCE_MAX", "", 0, convert_tflite<"amax">}},
       .tflite = {.builtin = "REDUCE_MAX", .lower = lower_reduce, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx<"ReduceMax", 18>},
       .keras = {.layer = "ops.numpy.Max", .lower = keras_reduce},
       .source = {.torch = "torch.amax({x}, dim={dim!}, keepdim={keepdim?})",
                  .keras = "keras.ops.max({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.max({x}, axis={dim!}, keepdims={keepdim?})"},
       .source_for = source_of_extreme<true>,
       .quant = {QuantRule::same_scale},
       .examples = {"amax(x: float32[1, 8, 4, 4], dim: [2, 3])", "amax(x: float32[2, 3, 4], dim: 1, keepdim: true)",
                    "amax(x: float32[2, 3])"}},
      {.name = "amin",
       .doc = "The least value along axes.",
       .inputs = one,
       .attrs = dim_keepdim,
       .infer = infer_extreme,
       .eval = eval_pick<([](auto a, auto b) { return b < a || b != b ? b : a; })>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.amin.default", "", 0, convert<"amin", false>},
                 {"aten.min.default", "", 0, convert<"amin", false>},
                 {"aten.min.dim", "", 0, convert_values<"amin">}},
       .onnx = {{.target = "ReduceMin", .convert = convert_onnx_extreme<"amin", 1>}},
       .tflite_in = {{"REDUCE_MIN", "", 0, convert_tflite<"amin">}},
       .tflite = {.builtin = "REDUCE_MIN", .lower = lower_reduce, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx<"ReduceMin", 18>},
       .keras = {.layer = "ops.numpy.Min", .lower = keras_reduce},
       .source = {.torch = "torch.amin({x}, dim={dim!}, keepdim={keepdim?})",
                  .keras = "keras.ops.min({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.min({x}, axis={dim!}, keepdims={keepdim?})"},
       .source_for = source_of_extreme<false>,
       .quant = {QuantRule::same_scale},
       .examples = {"amin(x: float32[1, 8, 4, 4], dim: [2, 3])", "amin(x: float32[2, 3, 4], dim: 1, keepdim: true)",
                    "amin(x: float32[2, 3])"}},
      {.name = "prod",
       .doc = "The product along axes.",
       .inputs = one,
       .attrs = dim_keepdim,
       .infer = infer_reduce,
       .eval = eval_pick<([](auto a, auto b) { return modular(a) * modular(b); })>,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.prod.default", "", 0, convert<"prod", true>}, {"aten.prod.dim_int", "", 0, convert<"prod", true>}},
       .onnx = {{.target = "ReduceProd", .convert = convert_onnx<"prod">}},
       .tflite_in = {{"REDUCE_PROD", "", 0, convert_tflite<"prod">}},
       .tflite = {.builtin = "REDUCE_PROD", .lower = lower_reduce, .integers = "int32 int64"},
       .onnx_out = {.lower = lower_onnx<"ReduceProd", 18>},
       .keras = {.layer = "ops.numpy.Prod", .lower = keras_reduce},
       .source = {.torch = "prod({x}, {dim}, keepdim={keepdim?})",
                  .keras = "keras.ops.prod({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.prod({x}, axis={dim!}, keepdims={keepdim?})",
                  .torch_helpers = {prod_torch_source}},
       .source_for = source_of_prod,
       .quant = {QuantRule::own_range},
       .examples = {"prod(x: float32[1, 3, 4, 4], dim: 1, keepdim: true)", "prod(x: float32[2, 3, 2], dim: [0, 2], keepdim: true)"}},
      {.name = "var",
       .doc = "The mean of the squared distances from the mean along axes, over count - correction.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = var_attrs,
       .infer = infer_mean,
       .eval = eval_var<false>,
       .expand = expand_var,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.var.correction", "", 0, convert_var<"var">},
                 {"aten.var.dim", "", 0, convert_var<"var">},
                 {"aten.var.default", "", 0, convert_var<"var">},
                 {"aten.var_mean.correction", "", 0, convert_var_mean<"var">},
                 {"aten.var_mean.dim", "", 0, convert_var_mean<"var">},
                 {"aten.var_mean.default", "", 0, convert_var_mean<"var">}},
       .source = {.torch = "torch.var({x}, dim={dim!}, correction={correction?}, keepdim={keepdim?})",
                  .keras = "keras.ops.var({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.var({x}, axis={dim!}, ddof={correction}, keepdims={keepdim?})"},
       .quant = {QuantRule::own_range},
       .examples = {"var(x: float32[1, 8, 4, 4], dim: [2, 3], keepdim: true)", "var(x: float32[2, 8], dim: -1, correction: 0)",
                    "var(x: float32[3, 4])"}},
      {.name = "std",
       .doc = "The square root of var.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = var_attrs,
       .infer = infer_mean,
       .eval = eval_var<true>,
       .expand = expand_std,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.std.correction", "", 0, convert_var<"std">},
                 {"aten.std.dim", "", 0, convert_var<"std">},
                 {"aten.std.default", "", 0, convert_var<"std">},
                 {"aten.std_mean.correction", "", 0, convert_var_mean<"std">},
                 {"aten.std_mean.dim", "", 0, convert_var_mean<"std">},
                 {"aten.std_mean.default", "", 0, convert_var_mean<"std">}},
       .source = {.torch = "torch.std({x}, dim={dim!}, correction={correction?}, keepdim={keepdim?})",
                  .keras = "keras.ops.std({x}, axis={dim}, keepdims={keepdim})",
                  .jax = "jnp.std({x}, axis={dim!}, ddof={correction}, keepdims={keepdim?})"},
       .quant = {QuantRule::own_range},
       .examples = {"std(x: float32[1, 8, 4, 4], dim: [2, 3], keepdim: true)", "std(x: float32[2, 8], dim: -1, correction: 0)",
                    "std(x: float32[3, 4])"}},
  };
  return defs;
}

}  // namespace wherry::ops
