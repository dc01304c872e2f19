// One tensor into several, and single positions out of it.
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

std::size_t axis_of(const Node& node, std::size_t rank) {
  return static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(rank)));
}

constexpr std::int64_t most_parts = 1 << 16;

[[noreturn]] void too_many(const Node& node, std::int64_t parts) {
  infer::fault(fmt::format("{} would give {} parts, more than {}", node.op->name, parts, most_parts), "E503");
}

std::int64_t known_size(const OpTypes& t, std::size_t axis) {
  const Dim& d = t["x"].shape[axis];
  if (!d.known())
    infer::fault(fmt::format("{} of an axis of size {}: how many parts it gives is not known", t.node.op->name, d.text()), "E504");
  return d.size();
}

// The parts' sizes along the axis.
Ints part_sizes(const Node& node, std::int64_t size) {
  Ints list;
  if (node.op->name == "chunk") {
    const std::int64_t chunks = node.integer("chunks");
    if (chunks < 1) infer::fault(fmt::format("chunks {} is not positive", chunks));
    list = {std::max<std::int64_t>(1, (size + chunks - 1) / chunks)};
  } else {
    list = node.ints("split_size_or_sections");
  }
  if (list.size() != 1) {
    std::int64_t sum = 0;
    for (const std::int64_t part : list) {
      if (part < 0) infer::fault(fmt::format("sizes {} hold a negative one", text(Attr(list))));
      sum += part;
    }
    if (sum != size) infer::fault(fmt::format("sizes {} add up to {}, the axis has {}", text(Attr(list)), sum, size));
    return list;
  }
  if (list[0] < 1) infer::fault(fmt::format("a part's size of {} is not positive", list[0]));
  if (const std::int64_t count = (size - 1) / list[0] + 1; count > most_parts) too_many(node, count);
  Ints parts;
  for (std::int64_t at = 0; at < size; at += list[0]) parts.push_back(std::min(list[0], size - at));
  if (parts.empty()) parts = {0};
  return parts;
}

std::vector<Type> infer_split(const OpTypes& t) {
  const std::size_t axis = axis_of(t.node, t["x"].shape.size());
  std::vector<Type> parts;
  for (const std::int64_t part : part_sizes(t.node, known_size(t, axis))) {
    parts.push_back(t["x"]);
    parts.back().shape[axis] = Dim(part);
  }
  return parts;
}

void eval_split(OpValues& v) {
  const Tensor& x = v["x"];
  const std::size_t axis = axis_of(v.node, x.sizes().size());
  const Sizes strides = contiguous_strides(x.sizes());
  std::int64_t at = 0;
  for (Tensor& part : v.outputs) {
    if (part.count()) copy_view(x, at * strides[axis], strides, part);
    at += part.sizes()[axis];
  }
}

void lower_split(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0];
  const Order order = l.order(x);
  const std::size_t axis = axis_of(node, order.size());
  const Ints parts = part_sizes(node, l.graph.type(x).shape[axis].size());
  if (parts.size() == 1) return l.give(node.outputs[0], l.as_is(x), order);
  const int at = l.constant(Tensor::scalar(order[axis], DType::int32));
  std::vector<Type> types;
  for (const ValueId out : node.outputs) types.push_back(ordered(l.graph.type(out), order));
  const bool equal = std::all_of(parts.begin(), parts.end(), [&](std::int64_t part) { return part == parts[0]; });
  const TflOption count{"num_splits", static_cast<std::int64_t>(parts.size())};
  const std::vector<int> made = equal ? l.add_multi("SPLIT", {at, l.as_is(x)}, types, {count})
                                      : l.add_multi("SPLIT_V", {l.as_is(x), tfl::int32s(l, parts), at}, types, {count});
  for (std::size_t i = 0; i < made.size(); ++i) l.give(node.outputs[i], made[i], order);
}

std::vector<ValueId> expand_chunk(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Dim& size = b.type(x).shape[axis_of(node, b.type(x).shape.size())];
  Ints sizes = part_sizes(node, size.size());
  if (sizes.size() > 1) sizes = {sizes[0]};
  return b.multi("split", {x}, {{"split_size_or_sections", sizes}, {"dim", node.attr("dim")}});
}

template <Word sizes>
std::vector<ValueId> convert_split(Builder& b, const ForeignNode& node) {
  return b.multi("split", {node.value("self")}, {{"split_size_or_sections", ints(node, sizes)}, {"dim", integer(node, "dim", 0)}});
}

// Into parts as equal as can be, or at positions. `fixed`: the axis of hsplit (of a vector the only one), vsplit and dsplit.
template <int fixed>
std::vector<ValueId> convert_tensor_split(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const Shape& shape = b.type(x).shape;
  const std::int64_t wanted = fixed < 0 ? integer(node, "dim", 0) : fixed == 1 && shape.size() == 1 ? 0 : fixed;
  const auto axis = static_cast<std::size_t>(infer::axis(wanted, static_cast<int>(shape.size())));
  if (!shape[axis].known()) refuse(node, fmt::format("'{}' needs a fixed size of axis {}", node.target, axis));
  const std::int64_t length = shape[axis].size();
  Ints ends;
  if (given(node, "sections")) {
    const std::int64_t count = integer(node, "sections");
    if (count < 1 || count > most_parts) refuse(node, fmt::format("'{}' into {} parts", node.target, count));
    for (std::int64_t i = 0, end = 0; i < count; ++i) ends.push_back(end += length / count + (i < length % count));
  } else {
    for (const std::int64_t at : ints(node, "indices")) ends.push_back(std::clamp<std::int64_t>(at < 0 ? at + length : at, 0, length));
    ends.push_back(length);
  }
  Ints sizes;
  for (std::size_t i = 0; i < ends.size(); ++i) sizes.push_back(std::max<std::int64_t>(ends[i] - (i > 0 ? ends[i - 1] : 0), 0));
  return b.multi("split", {x}, {{"split_size_or_sections", sizes}, {"dim", static_cast<std::int64_t>(axis)}});
}

std::vector<Type> infer_unbind(const OpTypes& t) {
  const std::size_t axis = axis_of(t.node, t["x"].shape.size());
  Type part = t["x"];
  part.shape.erase(part.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  const std::int64_t count = known_size(t, axis);
  if (count > most_parts) too_many(t.node, count);
  return std::vector<Type>(static_cast<std::size_t>(count), part);
}

void eval_unbind(OpValues& v) {
  const Tensor& x = v["x"];
  const std::size_t axis = axis_of(v.node, x.sizes().size());
  Sizes strides = contiguous_strides(x.sizes());
  const std::int64_t step = strides[axis];
  strides.erase(strides.begin() + static_cast<std::ptrdiff_t>(axis));
  for (std::size_t i = 0; i < v.outputs.size(); ++i) copy_view(x, static_cast<std::int64_t>(i) * step, strides, v.outputs[i]);
}

void lower_unbind(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0];
  const Order order = l.order(x);
  const std::size_t axis = axis_of(node, order.size());
  const Order after = without_axes(order, {static_cast<int>(axis)});
  std::vector<Type> types;
  for (const ValueId out : node.outputs) types.push_back(ordered(l.graph.type(out), after));
  const std::vector<int> made =
      l.add_multi("UNPACK", {l.as_is(x)}, types, {{"num", static_cast<std::int64_t>(types.size())}, {"axis", std::int64_t{order[axis]}}});
  for (std::size_t i = 0; i < made.size(); ++i) l.give(node.outputs[i], made[i], after);
}

std::vector<Type> infer_select(const OpTypes& t) {
  Type out = t["x"];
  const std::size_t axis = axis_of(t.node, out.shape.size());
  const std::int64_t index = t.node.integer("index");
  if (const Dim& d = out.shape[axis]; d.known() && (index < -d.size() || index >= d.size()))
    infer::fault(fmt::format("index {} is out of range for an axis of {}", index, d.size()));
  out.shape.erase(out.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  return {out};
}

void eval_select(OpValues& v) {
  const Tensor& x = v["x"];
  const std::size_t axis = axis_of(v.node, x.sizes().size());
  const std::int64_t index = v.node.integer("index");
  Sizes strides = contiguous_strides(x.sizes());
  const std::int64_t offset = (index < 0 ? index + x.sizes()[axis] : index) * strides[axis];
  strides.erase(strides.begin() + static_cast<std::ptrdiff_t>(axis));
  copy_view(x, offset, strides, v.out());
}

std::vector<ValueId> expand_select(Builder& b, const Node& node) {
  const std::int64_t index = node.integer("index");
  Attr end = None{};
  if (index != -1) end = index + 1;
  const ValueId part = b("slice", {node.inputs[0]}, {{"dim", node.attr("dim")}, {"start", index}, {"end", end}});
  return {b("squeeze", {part}, {{"dim", node.attr("dim")}})};
}

const AttrDef dim_attr{"dim", AttrKind::integer, std::int64_t{0}, "the axis"};

// SPLIT takes the axis and x, and cuts into equal parts; SPLIT_V takes x, the parts' sizes and the axis.
std::vector<ValueId> convert_tflite_split(Builder& b, const ForeignNode& node) {
  const bool equal = node.target == "SPLIT";
  const ValueId x = tfl_in::input(node, equal ? 1 : 0);
  const Sizes shape = tfl_in::shape_of(b, node, x);
  const Ints axes = tfl_in::constant_ints(b, node, equal ? 0 : 2);
  if (axes.size() != 1) refuse(node, fmt::format("'{}' along {} axes", node.target, axes.size()));
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t dim = axes[0] < 0 ? axes[0] + rank : axes[0];
  if (dim < 0 || dim >= rank) refuse(node, fmt::format("'{}' along axis {} of {}", node.target, axes[0], text(to_shape(shape))));
  const std::int64_t size = shape[static_cast<std::size_t>(dim)];
  Ints parts;
  if (equal) {
    const std::int64_t count = integer(node, "num_splits", 1);
    if (count < 1 || size % count != 0) refuse(node, fmt::format("SPLIT of {} into {}", size, count));
    parts.assign(static_cast<std::size_t>(count), size / count);
  } else {
    parts = tfl_in::constant_ints(b, node, 1);
    std::int64_t rest = size;
    for (const std::int64_t part : parts) rest -= std::max<std::int64_t>(part, 0);
    for (std::int64_t& part : parts) part = part < 0 ? rest : part;
  }
  if (parts.size() == 1) return {x};
  return b.multi("split", {x}, {{"split_size_or_sections", parts}, {"dim", dim}});
}

std::vector<ValueId> convert_tflite_unpack(Builder& b, const ForeignNode& node) {
  return b.multi("unbind", {tfl_in::input(node, 0)}, {{"dim", integer(node, "axis", 0)}});
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view split_source = R"py(
def split(x, sections, dim=0):
    """Parts of these sizes along an axis; a number: all of that size but the last."""
    if isinstance(sections, int):
        return jnp.split(x, list(range(sections, x.shape[dim], sections)), axis=dim)
    return jnp.split(x, list(itertools.accumulate(sections[:-1])), axis=dim)
)py";

constexpr std::string_view chunk_source = R"py(
def chunk(x, chunks, dim=0):
    """At most so many parts of equal size along an axis; the last may be smaller."""
    size = -(-x.shape[dim] // chunks)
    return jnp.split(x, list(range(size, x.shape[dim], size)), axis=dim)
)py";

void keras_split(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0];
  const Order order = k.order(x);
  const std::size_t axis = axis_of(node, order.size());
  const Type type = ordered(k.graph.type(x), order);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const std::int64_t size = k.graph.type(node.outputs[i]).shape[axis].size();
    k.give(node.outputs[i], keras::slice(k, k.as_is(x), order[axis], begin, size, type), order);
    begin += size;
  }
}

void keras_unbind(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0];
  const Order order = k.order(x);
  const std::size_t axis = axis_of(node, order.size());
  const Order after = without_axes(order, {static_cast<int>(axis)});
  const Type type = ordered(k.graph.type(x), order);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const int part = keras::slice(k, k.as_is(x), order[axis], static_cast<std::int64_t>(i), 1, type);
    k.give(node.outputs[i], keras::reshape(k, part, ordered(k.graph.type(node.outputs[i]), after)), after);
  }
}

// ---- ONNX: sizes are an attribute, since opset 13 an input; without them as many equal parts as there are outputs ----

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const std::int64_t axis = integer(node, "axis", 0);
  std::optional<Ints> parts = onnx::fixed_ints(b, node, 1, "split");
  if (!parts) {
    const Shape shape = b.type(x).shape;
    const Dim size = shape[static_cast<std::size_t>(infer::axis(axis, static_cast<int>(shape.size())))];
    const std::int64_t count = integer(node, "num_outputs", std::int64_t{node.output_count});
    if (!size.known() || count <= 0) refuse(node, "'Split' needs an axis whose size is known");
    parts = Ints{};
    const std::int64_t each = (size.size() + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i) parts->push_back(std::max<std::int64_t>(0, std::min(each, size.size() - i * each)));
  }
  if (parts->size() == 1) return {b("identity", {x})};
  return b.multi("split", {x}, {{"split_size_or_sections", *parts}, {"dim", axis}});
}

Ints onnx_parts(OnnxLowering& l, const Node& node, std::size_t axis) {
  Ints parts;
  for (const ValueId out : node.outputs) parts.push_back(l.graph.type(out).shape[axis].size());
  return parts;
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const std::size_t axis = axis_of(node, l.graph.type(node.inputs[0]).shape.size());
  const int parts = l.ints(onnx_parts(l, node, axis), "sizes");
  const std::vector<int> made =
      l.multi("Split", {l[node.inputs[0]], parts}, node.outputs.size(), {{"axis", static_cast<std::int64_t>(axis)}});
  for (std::size_t i = 0; i < made.size(); ++i) l.give(node.outputs[i], made[i]);
}

void lower_onnx_unbind(OnnxLowering& l, const Node& node) {
  const auto axis = static_cast<std::int64_t>(axis_of(node, l.graph.type(node.inputs[0]).shape.size()));
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const int at = l.constant(Tensor::scalar(static_cast<double>(i), DType::int64), "index");
    l.give(node.outputs[i], l.add("Gather", {l[node.inputs[0]], at}, {{"axis", axis}}));
  }
}

void lower_onnx_select(OnnxLowering& l, const Node& node) {
  const auto axis = static_cast<std::int64_t>(axis_of(node, l.graph.type(node.inputs[0]).shape.size()));
  const int at = l.constant(Tensor::scalar(static_cast<double>(node.integer("index")), DType::int64), "index");
  l.give(node.outputs[0], l.add("Gather", {l[node.inputs[0]], at}, {{"axis", axis}}));
}

}  // namespace

OpList split() {
  static const OpDef defs[] = {
      {.name = "split",
       .doc = "Cuts x into parts along an axis.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"split_size_or_sections",
                  AttrKind::ints,
                  {},
                  "one number: the size of each part, the last may be smaller; several: the sizes"},
                 dim_attr},
       .outputs = 0,
       .infer = infer_split,
       .eval = eval_split,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.split.Tensor", "", 0, convert_split<"split_size">},
                 {"aten.split.sizes", "", 0, convert_split<"split_size">},
                 {"aten.split_with_sizes.default", "", 0, convert_split<"split_sizes">},
                 {"aten.unsafe_split.Tensor", "", 0, convert_split<"split_size">},
                 {"aten.unsafe_split_with_sizes.default", "", 0, convert_split<"split_sizes">},
                 {"aten.tensor_split.sections", "", 0, convert_tensor_split<-1>},
                 {"aten.tensor_split.indices", "", 0, convert_tensor_split<-1>},
                 {"aten.hsplit.int", "", 0, convert_tensor_split<1>},
                 {"aten.hsplit.array", "", 0, convert_tensor_split<1>},
                 {"aten.vsplit.int", "", 0, convert_tensor_split<0>},
                 {"aten.vsplit.array", "", 0, convert_tensor_split<0>},
                 {"aten.dsplit.int", "", 0, convert_tensor_split<2>},
                 {"aten.dsplit.array", "", 0, convert_tensor_split<2>}},
       .onnx = {{.target = "Split", .convert = convert_onnx}},
       .tflite_in = {{"SPLIT", "", 0, convert_tflite_split}, {"SPLIT_V", "", 0, convert_tflite_split}},
       .tflite = {.lower = lower_split},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_split},
       .source = {.torch = "torch.split({x}, {split_size_or_sections!}, dim={dim?})",
                  .jax = "split({x}, {split_size_or_sections!}, dim={dim?})",
                  .jax_helpers = {split_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"split(x: float32[1, 6, 3, 3], split_size_or_sections: 2, dim: 1)",
                    "split(x: float32[7, 2], split_size_or_sections: 3)",
                    "split(x: float32[2, 6], split_size_or_sections: [1, 3, 2], dim: -1)"}},
      {.name = "chunk",
       .doc = "Cuts x along an axis into at most that many parts of equal size; the last may be smaller.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"chunks", AttrKind::integer, {}, "how many parts"}, dim_attr},
       .outputs = 0,
       .infer = infer_split,
       .eval = eval_split,
       .expand = expand_chunk,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.chunk.default", "x=self"}, {"aten.unsafe_chunk.default", "x=self"}},
       .onnx_out = {.lower = lower_onnx},
       .source = {.torch = "torch.chunk({x}, {chunks}, dim={dim?})",
                  .keras = "keras.ops.split({x}, {chunks}, {dim})",
                  .jax = "chunk({x}, {chunks}, dim={dim?})",
                  .jax_helpers = {chunk_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"chunk(x: float32[1, 8, 3, 3], chunks: 2, dim: 1)", "chunk(x: float32[2, 7], chunks: 3, dim: 1)",
                    "chunk(x: float32[2, 3], chunks: 1)"}},
      {.name = "unbind",
       .doc = "Every position along an axis as a tensor of its own, without that axis.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {dim_attr},
       .outputs = 0,
       .infer = infer_unbind,
       .eval = eval_unbind,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.unbind.int", "x=self"}},
       .tflite_in = {{"UNPACK", "", 0, convert_tflite_unpack}},
       .tflite = {.lower = lower_unbind},
       .onnx_out = {.lower = lower_onnx_unbind},
       .keras = {.lower = keras_unbind},
       .source = {.torch = "torch.unbind({x}, dim={dim?})",
                  .keras = "keras.ops.unstack({x}, axis={dim})",
                  .jax = "list(jnp.moveaxis({x}, {dim}, 0))"},
       .quant = {QuantRule::same_scale},
       .examples = {"unbind(x: float32[1, 3, 4, 4], dim: 1)", "unbind(x: float32[2, 5])"}},
      {.name = "select",
       .doc = "The part of x at one position along an axis, without that axis.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {dim_attr, {"index", AttrKind::integer, {}, "the position; negative counts from the end"}},
       .infer = infer_select,
       .eval = eval_select,
       .expand = expand_select,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.select.int", "x=self"}},
       .onnx_out = {.lower = lower_onnx_select},
       .source = {.torch = "torch.select({x}, {dim}, {index})",
                  .keras = "keras.ops.take({x}, {index}, axis={dim})",
                  .jax = "jnp.take({x}, {index}, axis={dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"select(x: float32[1, 4, 3, 3], dim: 1, index: 2)", "select(x: float32[2, 5], dim: 1, index: -1)",
                    "select(x: float32[5], index: 0)"}},
  };
  return defs;
}

}  // namespace wherry::ops
