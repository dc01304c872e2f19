// Operators that reorder axes. In the target they cost nothing until somebody needs a certain order.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

namespace wherry::ops {

namespace {

std::vector<int> permutation(const Ints& dims, int rank) {
  if (static_cast<int>(dims.size()) != rank) infer::fault(fmt::format("dims {} names {} axes of {}", text(Attr(dims)), dims.size(), rank));
  std::vector<int> axes;
  for (const std::int64_t d : dims) {
    axes.push_back(infer::axis(d, rank));
    if (std::count(axes.begin(), axes.end(), axes.back()) > 1) infer::fault(fmt::format("dims {} names an axis twice", text(Attr(dims))));
  }
  return axes;
}

std::vector<Type> infer_permute(const OpTypes& t) {
  const Type& x = t["x"];
  Type out{x.dtype, {}};
  for (const int axis : permutation(t.node.ints("dims"), static_cast<int>(x.shape.size())))
    out.shape.push_back(x.shape[static_cast<std::size_t>(axis)]);
  return {out};
}

void eval_permute(OpValues& v) { v["x"].permuted(permutation(v.node.ints("dims"), v["x"].rank())).copy_to(v.out().mutable_data()); }

// For every target that keeps orders of axes: nothing moves yet.
template <class Target>
void lower_permute(Target& l, const Node& node) {
  const ValueId x = node.inputs[0];
  const Order order = l.order(x);
  Order after;
  for (const int axis : permutation(node.ints("dims"), static_cast<int>(order.size())))
    after.push_back(order[static_cast<std::size_t>(axis)]);
  l.give(node.outputs[0], l.as_is(x), after);
}

std::vector<Type> infer_transpose(const OpTypes& t) {
  Type out = t["x"];
  const auto rank = static_cast<int>(out.shape.size());
  const int a = infer::axis(t.node.integer("dim0"), std::max(1, rank)), b = infer::axis(t.node.integer("dim1"), std::max(1, rank));
  if (rank) std::swap(out.shape[static_cast<std::size_t>(a)], out.shape[static_cast<std::size_t>(b)]);
  return {out};
}

Ints swapped(const Node& node, int rank) {
  Ints dims;
  for (int i = 0; i < rank; ++i) dims.push_back(i);
  if (rank)
    std::swap(dims[static_cast<std::size_t>(infer::axis(node.integer("dim0"), rank))],
              dims[static_cast<std::size_t>(infer::axis(node.integer("dim1"), rank))]);
  return dims;
}

void eval_transpose(OpValues& v) {
  v["x"].permuted(permutation(swapped(v.node, v["x"].rank()), v["x"].rank())).copy_to(v.out().mutable_data());
}

std::vector<ValueId> expand_transpose(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {b("permute", {x}, {{"dims", swapped(node, static_cast<int>(b.type(x).shape.size()))}})};
}

std::vector<ValueId> convert_t(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  if (b.type(x).shape.size() < 2) return {x};
  return {b("transpose", {x}, {{"dim0", std::int64_t{0}}, {"dim1", std::int64_t{1}}})};
}

std::vector<ValueId> convert_mT(Builder& b, const ForeignNode& node) {
  return {b("transpose", {node.value("self")}, {{"dim0", std::int64_t{-2}}, {"dim1", std::int64_t{-1}}})};
}

std::vector<ValueId> convert_movedim(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const auto rank = static_cast<int>(b.type(x).shape.size());
  const Ints from = ints(node, "source"), to = ints(node, "destination");
  if (from.size() != to.size()) refuse(node, "movedim's source and destination differ in length");
  Ints dims(static_cast<std::size_t>(rank), -1);
  std::vector<bool> moved(dims.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::int64_t a = from[i] < 0 ? from[i] + rank : from[i], b_axis = to[i] < 0 ? to[i] + rank : to[i];
    if (a < 0 || a >= rank || b_axis < 0 || b_axis >= rank) refuse(node, "movedim names an axis that the tensor lacks");
    dims[static_cast<std::size_t>(b_axis)] = a;
    moved[static_cast<std::size_t>(a)] = true;
  }
  std::int64_t next = 0;
  for (std::int64_t& d : dims) {
    if (d >= 0) continue;
    while (next < rank && moved[static_cast<std::size_t>(next)]) ++next;
    d = next++;
  }
  return {b("permute", {x}, {{"dims", dims}})};
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  return {b("permute", {tfl_in::input(node, 0)}, {{"dims", tfl_in::constant_ints(b, node, 1)}})};
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  Ints reversed;
  for (std::int64_t i = onnx::rank(b, x); i-- > 0;) reversed.push_back(i);
  return {b("permute", {x}, {{"dims", ints(node, "perm", reversed)}})};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const auto rank = static_cast<std::int64_t>(l.graph.type(node.inputs[0]).shape.size());
  Ints perm = node.ints("dims");
  for (std::int64_t& axis : perm) axis += axis < 0 ? rank : 0;
  l.give(node.outputs[0], l.add("Transpose", {l[node.inputs[0]]}, {{"perm", perm}}));
}

std::vector<ValueId> convert_keras_permute(Builder& b, const ForeignNode& node) {
  Ints dims = ints(node, "dims");
  dims.insert(dims.begin(), 0);
  return {b("permute", {tfl_in::input(node, 0)}, {{"dims", dims}})};
}

}  // namespace

OpList permute() {
  static const OpDef defs[] = {
      {.name = "permute",
       .doc = "Reorders the axes: axis i of the result is axis dims[i] of x.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dims", AttrKind::ints, {}, "every axis once"}},
       .infer = infer_permute,
       .eval = eval_permute,
       .torch = {{"aten.permute.default", "x=self"},
                 {"aten.movedim.int", "", 0, convert_movedim},
                 {"aten.movedim.intlist", "", 0, convert_movedim},
                 {"aten.moveaxis.int", "", 0, convert_movedim},
                 {"aten.moveaxis.intlist", "", 0, convert_movedim}},
       .onnx = {{.target = "Transpose", .convert = convert_onnx}},
       .tflite_in = {{"TRANSPOSE", "", 0, convert_tflite}},
       .keras_in = {{"Permute", "", 0, convert_keras_permute}},
       .tflite = {.lower = lower_permute},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = lower_permute},
       .source = {"torch.permute({x}, {dims})", "keras.ops.transpose({x}, {dims})", "jnp.transpose({x}, {dims})"},
       .quant = {QuantRule::same_scale},
       .examples = {"permute(x: float32[1, 3, 4, 5], dims: [0, 2, 3, 1])", "permute(x: float32[2, 3, 4], dims: [2, 0, -2])"}},
      {.name = "transpose",
       .doc = "Exchanges two axes.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dim0", AttrKind::integer, {}, "one axis"}, {"dim1", AttrKind::integer, {}, "the other"}},
       .infer = infer_transpose,
       .eval = eval_transpose,
       .expand = expand_transpose,
       .torch = {{"aten.transpose.int", "x=self"},
                 {"aten.swapaxes.default", "x=self dim0=axis0 dim1=axis1"},
                 {"aten.swapdims.default", "x=self"},
                 {"aten.t.default", "", 0, convert_t},
                 {"aten.mT.default", "", 0, convert_mT},
                 {"aten.adjoint.default", "", 0, convert_mT}},
       .source = {"torch.transpose({x}, {dim0}, {dim1})", "keras.ops.swapaxes({x}, {dim0}, {dim1})", "jnp.swapaxes({x}, {dim0}, {dim1})"},
       .quant = {QuantRule::same_scale},
       .examples = {"transpose(x: float32[2, 3, 4], dim0: 1, dim1: -1)", "transpose(x: float32[1, 2, 3, 4, 5], dim0: 1, dim1: 2)"}},
  };
  return defs;
}

}  // namespace wherry::ops
