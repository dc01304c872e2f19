// The greatest elements along an axis, in order.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <algorithm>
#include <numeric>

namespace wherry::ops {

namespace {

std::size_t axis_of(const Node& node, std::size_t rank) {
  return static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(rank)));
}

std::vector<Type> infer_topk(const OpTypes& t) {
  Type values = t["x"];
  if (values.shape.empty()) infer::fault("topk takes a tensor of rank 1 or more");
  if (values.dtype == DType::boolean) infer::fault("topk takes numbers, not bool", "E502");
  Dim& size = values.shape[axis_of(t.node, values.shape.size())];
  const std::int64_t k = t.node.integer("k");
  if (k < 0 || (size.known() && k > size.size())) infer::fault(fmt::format("topk takes {} of an axis of {}", k, size.text()));
  size = k;
  return {values, {DType::int64, values.shape}};
}

// Of equal elements the first one comes first.
void eval_topk(OpValues& v) {
  const Tensor& x = v["x"];
  const std::size_t axis = axis_of(v.node, x.sizes().size());
  const bool largest = v.node.flag("largest");
  const std::int64_t n = x.sizes()[axis], k = v.node.integer("k"), inner = contiguous_strides(x.sizes())[axis];
  with_type(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>().data();
    const auto values = v.outputs[0].mutable_as<T>();
    const auto places = v.outputs[1].mutable_as<std::int64_t>();
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    for (std::int64_t line = 0; n > 0 && line < x.count() / n; ++line) {
      const std::int64_t start = line / inner * n * inner + line % inner, put = line / inner * k * inner + line % inner;
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const T p = from[start + a * inner], q = from[start + b * inner];
        return largest ? p > q : p < q;
      });
      for (std::int64_t i = 0; i < k; ++i) {
        const auto at = static_cast<std::size_t>(put + i * inner);
        places[at] = order[static_cast<std::size_t>(i)];
        values[at] = from[start + places[at] * inner];
      }
    }
  });
}

// The order of axes in which `axis` is the last.
Order with_last(int rank, std::size_t axis) {
  Order order;
  for (int i = 0, at = 0; i < rank; ++i) order.push_back(i == static_cast<int>(axis) ? rank - 1 : at++);
  return order;
}

// TOPK_V2 looks along the last axis for the greatest; for the least, what it sees is negated.
void lower_topk(TflLowering& l, const Node& node) {
  const Type& in = l.graph.type(node.inputs[0]);
  const auto rank = static_cast<int>(in.shape.size());
  const Order order = with_last(rank, axis_of(node, in.shape.size()));
  const bool largest = node.flag("largest");
  const Type values = ordered(l.graph.type(node.outputs[0]), order), places{DType::int32, values.shape};
  int x = l.in_order(node.inputs[0], order);
  const auto turned = [&](int v, const Type& type) {  // -v; of integers -1 - v, which fits always
    if (is_float(type.dtype)) return l.add("NEG", {v}, type);
    return tfl::binary(l, "SUB", l.constant(Tensor::scalar(-1, type.dtype)), v, type);
  };
  if (!largest) x = turned(x, ordered(in, order));
  const std::vector<int> made =
      l.add_multi("TOPK_V2", {x, l.constant(Tensor::scalar(static_cast<double>(node.integer("k")), DType::int32))}, {values, places});
  l.give(node.outputs[0], largest ? made[0] : turned(made[0], values), order);
  l.give(node.outputs[1], l.add("CAST", {made[1]}, {DType::int64, values.shape}), order);
}

void keras_topk(KerasLowering& k, const Node& node) {
  const Type& in = k.graph.type(node.inputs[0]);
  const auto rank = static_cast<int>(in.shape.size());
  const Order order = with_last(rank, axis_of(node, in.shape.size()));
  const bool largest = node.flag("largest");
  const Type values = ordered(k.graph.type(node.outputs[0]), order), places{DType::int32, values.shape};
  int x = k.in_order(node.inputs[0], order);
  if (rank == 1) k.touch(0);
  if (!largest) x = k.add("ops.numpy.Negative", {KerasRef{x}}, ordered(in, order));
  const std::vector<int> made = k.add_multi("ops.math.TopK", {KerasRef{x}}, {values, places}, {{"k", node.integer("k")}, {"sorted", true}});
  k.give(node.outputs[0], largest ? made[0] : k.add("ops.numpy.Negative", {KerasRef{made[0]}}, values), order);
  k.give(node.outputs[1], k.add("ops.core.Cast", {KerasRef{made[1]}}, {DType::int64, values.shape}, {{"dtype", DType::int64}}), order);
}

std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  return b.multi("topk", {n.value("self")},
                 {{"k", integer(n, "k")}, {"dim", integer(n, "dim", -1)}, {"largest", flag(n, "largest", true)}});
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const std::optional<double> k = given(n, "k") ? std::optional(number(n, "k")) : onnx::fixed_number(b, n, 1, "k");
  if (!k) refuse(n, "'TopK' does not say how many");
  return b.multi("topk", {onnx::required(n, 0)},
                 {{"k", static_cast<std::int64_t>(*k)}, {"dim", integer(n, "axis", -1)}, {"largest", flag(n, "largest", true)}});
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& n) {
  const std::vector<ValueId> made = b.multi("topk", {tfl_in::input(n, 0)}, {{"k", tfl_in::constant_ints(b, n, 1).at(0)}});
  return {made[0], cast(b, made[1], n.output_types.at(1).dtype)};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const int k = l.ints({node.integer("k")}, "k");
  const std::vector<int> made =
      l.multi("TopK", {l[node.inputs[0]], k}, 2,
              {{"axis", node.attr("dim")}, {"largest", std::int64_t{node.flag("largest")}}, {"sorted", std::int64_t{1}}});
  for (std::size_t i = 0; i < 2; ++i) l.give(node.outputs[i], made[i]);
}

constexpr std::string_view topk_source = R"py(
def topk(x, k, dim=-1, largest=True):
    """The greatest (or least) elements along an axis, in order, and their positions."""
    order = jnp.argsort(x, axis=dim, stable=True, descending=largest)
    places = jax.lax.slice_in_dim(order, 0, k, axis=dim % x.ndim)
    return jnp.take_along_axis(x, places, axis=dim), places
)py";

}  // namespace

OpList topk() {
  static const OpDef defs[] = {
      {.name = "topk",
       .doc = "The k greatest (or least) elements along an axis in order, and their positions.",
       .inputs = {{"x", "any tensor of numbers"}},
       .attrs = {{"k", AttrKind::integer, {}, "how many"},
                 {"dim", AttrKind::integer, std::int64_t{-1}, "the axis"},
                 {"largest", AttrKind::boolean, true, "whether the greatest are wanted; else the least"}},
       .outputs = 2,
       .infer = infer_topk,
       .eval = eval_topk,
       .torch = {{"aten.topk.default", "", 0, convert}},
       .onnx = {{.target = "TopK", .convert = convert_onnx}},
       .tflite_in = {{"TOPK_V2", "", 0, convert_tflite}},
       .tflite = {.lower = lower_topk, .integers = "int32 int64", .uint64 = TflSlot::same_order},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_topk},
       .source = {.torch = "torch.topk({x}, {k}, dim={dim?}, largest={largest?})",
                  .jax = "topk({x}, {k}, dim={dim?}, largest={largest?})",
                  .jax_helpers = {topk_source}},
       .examples = {"topk(x: float32[2, 7], k: 3)", "topk(x: float32[2, 5, 3], k: 2, dim: 1, largest: false)"}},
  };
  return defs;
}

}  // namespace wherry::ops
