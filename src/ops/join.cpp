// Several tensors into one.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <cstring>

namespace wherry::ops {

namespace {

// The type that all inputs share; `joined` names the axis along which their sizes may differ.
Type infer_joined(const OpTypes& t, int joined, Dim& sum) {
  Type out = *t.inputs[0];
  sum = Dim(0);
  for (const Type* type : t.inputs) {
    if (type->dtype != out.dtype)
      infer::fault(fmt::format("{} takes tensors of one data type, not {} and {}", t.node.op->name, name(out.dtype), name(type->dtype)),
                   "E502");
    bool fits = type->shape.size() == out.shape.size();
    for (std::size_t i = 0; fits && i < out.shape.size(); ++i) fits = static_cast<int>(i) == joined || type->shape[i] == out.shape[i];
    if (!fits) infer::fault(fmt::format("{} cannot join {} and {}", t.node.op->name, text(out), text(*type)));
    if (joined >= 0) sum = sum + type->shape[static_cast<std::size_t>(joined)];
  }
  return out;
}

std::vector<Type> infer_cat(const OpTypes& t) {
  const int axis = infer::axis(t.node.integer("dim"), static_cast<int>(t.inputs[0]->shape.size()));
  Dim sum;
  Type out = infer_joined(t, axis, sum);
  out.shape[static_cast<std::size_t>(axis)] = sum;
  return {out};
}

// Writes the inputs side by side: each gives `bytes` of its own for every step of the axes before the joined one.
void interleave(OpValues& v, std::int64_t outer) {
  std::byte* to = v.out().mutable_data();
  if (v.out().count() == 0) return;
  for (std::int64_t i = 0; i < outer; ++i)
    for (const Tensor* x : v.inputs) {
      const std::size_t bytes = x->bytes() / static_cast<std::size_t>(outer);
      if (bytes) std::memcpy(to, x->data() + static_cast<std::size_t>(i) * bytes, bytes);
      to += bytes;
    }
}

std::int64_t outer_of(const Tensor& out, int axis) {
  std::int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= out.sizes()[static_cast<std::size_t>(i)];
  return outer;
}

void eval_cat(OpValues& v) { interleave(v, outer_of(v.out(), infer::axis(v.node.integer("dim"), v.out().rank()))); }

void lower_cat(TflLowering& l, const Node& node) {
  Order order = l.order(node.inputs[0]);
  for (const ValueId v : node.inputs)
    if (!l.graph.is_constant(v)) {
      order = l.order(v);
      break;
    }
  std::vector<int> tensors;
  for (const ValueId v : node.inputs) tensors.push_back(l.in_order(v, order));
  const Type& type = l.graph.type(node.outputs[0]);
  const std::int64_t axis = order[static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(order.size())))];
  const int out =
      l.add("CONCATENATION", tensors, ordered(type, order), {{"axis", axis}, {"fused_activation_function", std::string("NONE")}});
  l.give(node.outputs[0], out, order);
}

std::vector<ValueId> convert_cat(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> parts;
  for (const ValueId v : node.values("tensors")) {
    const Type& type = b.type(v);  // PyTorch lets an empty vector stand beside anything
    if (!(type.shape.size() == 1 && type.shape[0] == Dim(0))) parts.push_back(v);
  }
  if (parts.empty()) parts = node.values("tensors");
  return {b("cat", parts, {{"dim", integer(node, "dim", 0)}})};
}

// hstack, vstack and dstack join along the second, first or third axis; vectors along their only one, or as rows.
template <int axis>
std::vector<ValueId> convert_xstack(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> parts = node.values("tensors");
  for (ValueId& v : parts) {
    for (std::size_t rank = b.type(v).shape.size(); rank < (axis == 1 ? 1 : 2); ++rank) v = b("unsqueeze", {v}, {{"dim", std::int64_t{0}}});
    if (axis == 2 && b.type(v).shape.size() == 2) v = b("unsqueeze", {v}, {{"dim", std::int64_t{2}}});
  }
  const bool vectors = b.type(parts.at(0)).shape.size() == 1;
  return {b("cat", parts, {{"dim", std::int64_t{vectors ? 0 : axis}}})};
}

// Vectors as columns.
std::vector<ValueId> convert_column_stack(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> parts = node.values("tensors");
  for (ValueId& v : parts)
    while (b.type(v).shape.size() < 2) v = b("unsqueeze", {v}, {{"dim", static_cast<std::int64_t>(b.type(v).shape.size())}});
  return {b("cat", parts, {{"dim", std::int64_t{1}}})};
}

int stack_axis(const OpTypes& t) { return infer::axis(t.node.integer("dim"), static_cast<int>(t.inputs[0]->shape.size()) + 1); }

std::vector<Type> infer_stack(const OpTypes& t) {
  Dim none;
  Type out = infer_joined(t, -1, none);
  out.shape.insert(out.shape.begin() + stack_axis(t), Dim(static_cast<std::int64_t>(t.inputs.size())));
  return {out};
}

void eval_stack(OpValues& v) { interleave(v, outer_of(v.out(), infer::axis(v.node.integer("dim"), v.out().rank()))); }

// The new axis lies before the one that it precedes in the source, or last.
void lower_stack(TflLowering& l, const Node& node) {
  const Order order = l.order(node.inputs[0]);
  std::vector<int> tensors;
  for (const ValueId v : node.inputs) tensors.push_back(l.in_order(v, order));
  const int axis = infer::axis(node.integer("dim"), static_cast<int>(order.size()) + 1);
  const bool last = axis == static_cast<int>(order.size());
  const int at = last ? axis : order[static_cast<std::size_t>(axis)];
  Order after = order;
  for (int& other : after) other += other >= at ? 1 : 0;
  after.insert(after.begin() + axis, at);
  const auto count = static_cast<std::int64_t>(tensors.size());
  const Type type = ordered(l.graph.type(node.outputs[0]), after);
  l.give(node.outputs[0], l.add("PACK", tensors, type, {{"values_count", count}, {"axis", std::int64_t{at}}}), after);
}

std::vector<ValueId> convert_stack(Builder& b, const ForeignNode& node) {
  return {b("stack", node.values("tensors"), {{"dim", integer(node, "dim", 0)}})};
}

template <Word op>
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  return {b(op, tfl_in::inputs(node), {{"dim", integer(node, "axis", 0)}})};
}

void keras_cat(KerasLowering& k, const Node& node) {
  Order order = k.order(node.inputs[0]);
  for (const ValueId v : node.inputs)
    if (!k.graph.is_constant(v)) {
      order = k.order(v);
      break;
    }
  std::vector<int> parts;
  for (const ValueId v : node.inputs) parts.push_back(k.in_order(v, order));
  const int axis = order[static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(order.size())))];
  k.give(node.outputs[0], keras::concatenate(k, parts, axis, ordered(k.graph.type(node.outputs[0]), order)), order);
}

void keras_stack(KerasLowering& k, const Node& node) {
  std::vector<KerasRef> parts;
  for (const ValueId v : node.inputs) parts.push_back({k.source_order(v)});
  const Type& type = k.graph.type(node.outputs[0]);
  const int axis = infer::axis(node.integer("dim"), static_cast<int>(type.shape.size()));
  k.touch(axis);
  k.give_source_order(node.outputs[0], k.add("ops.numpy.Stack", {parts}, type, {{"axis", std::int64_t{axis}}}));
}

std::vector<ValueId> convert_onnx_cat(Builder& b, const ForeignNode& node) {
  return {b("cat", onnx::inputs(node), {{"dim", integer(node, "axis")}})};
}

void lower_onnx_stack(OnnxLowering& l, const Node& node) {
  const int axis = infer::axis(node.integer("dim"), static_cast<int>(l.graph.type(node.outputs[0]).shape.size()));
  const int axes = l.ints({axis}, "axis");
  std::vector<int> parts;
  for (const ValueId v : node.inputs) parts.push_back(l.add("Unsqueeze", {l[v], axes}));
  l.give(node.outputs[0], l.add("Concat", parts, {{"axis", std::int64_t{axis}}}));
}

std::vector<ValueId> convert_keras_cat(Builder& b, const ForeignNode& node) {
  return {b("cat", tfl_in::inputs(node), {{"dim", integer(node, "axis", -1)}})};
}

}  // namespace

OpList join() {
  static const OpDef defs[] = {
      {.name = "cat",
       .doc = "Tensors one behind the other along an axis that they have.",
       .inputs = {{"xs", "tensors that differ only in the size of axis dim", Role::variadic}},
       .attrs = {{"dim", AttrKind::integer, std::int64_t{0}, "the axis"}},
       .infer = infer_cat,
       .eval = eval_cat,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.cat.default", "", 0, convert_cat},
                 {"aten.concat.default", "", 0, convert_cat},
                 {"aten.concatenate.default", "", 0, convert_cat},
                 {"aten.hstack.default", "", 0, convert_xstack<1>},
                 {"aten.vstack.default", "", 0, convert_xstack<0>},
                 {"aten.dstack.default", "", 0, convert_xstack<2>},
                 {"aten.column_stack.default", "", 0, convert_column_stack}},
       .onnx = {{.target = "Concat", .convert = convert_onnx_cat}},
       .tflite_in = {{"CONCATENATION", "", 0, convert_tflite<"cat">}},
       .keras_in = {{"Concatenate", "", 0, convert_keras_cat}},
       .tflite = {.lower = lower_cat},
       .onnx_out = {.op = "Concat", .attributes = "axis=dim"},
       .keras = {.lower = keras_cat},
       .source = {"torch.cat({xs}, dim={dim})", "keras.ops.concatenate({xs}, axis={dim})", "jnp.concatenate({xs}, axis={dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"cat(xs: [float32[1, 2, 3, 3], float32[1, 4, 3, 3]], dim: 1)",
                    "cat(xs: [float32[2, 3], float32[2, 1], float32[2, 2]], dim: -1)"}},
      {.name = "stack",
       .doc = "Tensors of one shape side by side along an axis that is new.",
       .inputs = {{"xs", "tensors of one shape", Role::variadic}},
       .attrs = {{"dim", AttrKind::integer, std::int64_t{0}, "where the result has the new axis"}},
       .infer = infer_stack,
       .eval = eval_stack,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.stack.default", "", 0, convert_stack}},
       .tflite_in = {{"PACK", "", 0, convert_tflite<"stack">}},
       .tflite = {.lower = lower_stack},
       .onnx_out = {.lower = lower_onnx_stack},
       .keras = {.lower = keras_stack},
       .source = {"torch.stack({xs}, dim={dim})", "keras.ops.stack({xs}, axis={dim})", "jnp.stack({xs}, axis={dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"stack(xs: [float32[1, 4, 3, 3], float32[1, 4, 3, 3]], dim: 2)",
                    "stack(xs: [float32[2, 3], float32[2, 3], float32[2, 3]], dim: -1)"}},
  };
  return defs;
}

}  // namespace wherry::ops
