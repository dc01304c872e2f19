// A tensor's elements several times, or in another order along an axis.
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

// x with axes of size 1 before it, up to `rank`.
Shape led_by_ones(const Shape& shape, std::size_t rank) {
  Shape out(rank > shape.size() ? rank - shape.size() : 0, Dim(1));
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}

std::vector<Type> infer_expand(const OpTypes& t) {
  const Type& x = t["x"];
  const Ints& size = t.node.ints("size");
  if (size.size() < x.shape.size()) infer::fault(fmt::format("size {} has fewer axes than {}", text(Attr(size)), text(x)));
  Shape out = led_by_ones(x.shape, size.size());
  const std::size_t lead = size.size() - x.shape.size();
  for (std::size_t i = 0; i < size.size(); ++i) {
    if (size[i] == -1 && i >= lead) continue;
    if (size[i] < 0) infer::fault(fmt::format("size {} is negative where x has no axis", text(Attr(size))), "E503");
    if (!(out[i] == Dim(1)) && !(out[i] == Dim(size[i])))
      infer::fault(fmt::format("{} cannot become {}: axis {} is {}", text(x), text(Attr(size)), i, out[i].text()));
    out[i] = Dim(size[i]);
  }
  return {{x.dtype, out}};
}

void eval_expand(OpValues& v) { copy_view(v["x"], 0, broadcast_strides(v["x"].sizes(), v.out().sizes()), v.out()); }

void lower_expand(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type &in = l.graph.type(x), &type = l.graph.type(out);
  const bool grown = type.shape.size() > in.shape.size();
  const Order order = grown ? identity_order(static_cast<int>(type.shape.size())) : l.order(x);
  const int tensor = grown ? tfl::reshape(l, l.source_order(x), {in.dtype, led_by_ones(in.shape, type.shape.size())}) : l.as_is(x);
  const Sizes wanted = sizes(ordered(type, order).shape);
  if (l.tensor(tensor).sizes == wanted) return l.give(out, tensor, order);
  l.give(out, l.add("BROADCAST_TO", {tensor, tfl::int32s(l, wanted)}, {type.dtype, to_shape(wanted)}), order);
}

// Sizes as the foreign file states them: a symbolic one must be x's own, which -1 keeps.
std::vector<ValueId> convert_expand(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  if (node.output_types.empty()) return {b("expand", {x}, {{"size", ints(node, "size")}})};
  const Shape &in = b.type(x).shape, &out = node.output_types[0].shape;
  Ints size;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool own = i >= out.size() - in.size() && in[i - (out.size() - in.size())] == out[i];
    if (!out[i].known() && !own) refuse(node, fmt::format("'{}' repeats an axis {} times, which is not known", node.target, out[i].text()));
    size.push_back(out[i].known() ? out[i].size() : -1);
  }
  return {b("expand", {x}, {{"size", size}})};
}

std::vector<Type> infer_repeat(const OpTypes& t) {
  const Type& x = t["x"];
  const Ints& repeats = t.node.ints("repeats");
  if (repeats.size() < x.shape.size()) infer::fault(fmt::format("repeats {} has fewer axes than {}", text(Attr(repeats)), text(x)));
  Shape out = led_by_ones(x.shape, repeats.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (repeats[i] < 0) infer::fault(fmt::format("repeats {} holds a negative number", text(Attr(repeats))), "E503");
    out[i] = out[i] * Dim(repeats[i]);
  }
  return {{x.dtype, out}};
}

// The result's axes as pairs (repeat, size): x read with stride 0 along the first of each.
void eval_repeat(OpValues& v) {
  const Sizes shape = sizes(led_by_ones(to_shape(v["x"].sizes()), v.out().sizes().size()));
  const Sizes own = contiguous_strides(shape);
  Sizes paired, strides;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    paired.insert(paired.end(), {shape[i] ? v.out().sizes()[i] / shape[i] : 0, shape[i]});
    strides.insert(strides.end(), {0, own[i]});
  }
  Tensor out = Tensor::allocate(v.out().dtype(), paired);
  copy_view(v["x"], 0, strides, out);
  out.copy_to(v.out().mutable_data());
}

void lower_repeat(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type &in = l.graph.type(x), &type = l.graph.type(out);
  const bool grown = type.shape.size() > in.shape.size();
  const Order order = grown ? identity_order(static_cast<int>(type.shape.size())) : l.order(x);
  const int tensor = grown ? tfl::reshape(l, l.source_order(x), {in.dtype, led_by_ones(in.shape, type.shape.size())}) : l.as_is(x);
  Ints times(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) times[static_cast<std::size_t>(order[i])] = node.ints("repeats")[i];
  if (std::all_of(times.begin(), times.end(), [](std::int64_t n) { return n == 1; })) return l.give(out, tensor, order);
  l.give(out, l.add("TILE", {tensor, tfl::int32s(l, times)}, ordered(type, order)), order);
}

// torch.tile lets the list be shorter than the shape.
std::vector<ValueId> convert_tile(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  Ints dims = ints(node, "dims");
  const std::size_t rank = b.type(x).shape.size();
  if (dims.size() < rank) dims.insert(dims.begin(), rank - dims.size(), 1);
  return {b("repeat", {x}, {{"repeats", dims}})};
}

std::vector<int> flipped(const Node& node, int rank) {
  std::vector<int> axes;
  for (const std::int64_t d : node.ints("dims")) axes.push_back(infer::axis(d, std::max(1, rank)));
  return axes;
}

std::vector<Type> infer_flip(const OpTypes& t) {
  flipped(t.node, static_cast<int>(t["x"].shape.size()));
  return {t["x"]};
}

void eval_flip(OpValues& v) {
  const Tensor& x = v["x"];
  if (x.rank() == 0 || x.count() == 0) return copy_view(x, 0, {}, v.out());
  Sizes strides = contiguous_strides(x.sizes());
  std::int64_t offset = 0;
  for (const int axis : flipped(v.node, x.rank())) {
    const auto i = static_cast<std::size_t>(axis);
    offset += strides[i] * (x.sizes()[i] - 1);
    strides[i] = -strides[i];
  }
  copy_view(x, offset, strides, v.out());
}

void lower_flip(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const Type type = ordered(l.graph.type(out), order);
  int tensor = l.as_is(x);
  for (const int axis : flipped(node, static_cast<int>(order.size())))
    tensor = l.add("REVERSE_V2", {tensor, tfl::int32s(l, {order[static_cast<std::size_t>(axis)]})}, type);
  l.give(out, tensor, order);
}

std::vector<Type> infer_roll(const OpTypes& t) {
  const Ints &shifts = t.node.ints("shifts"), &dims = t.node.ints("dims");
  if (dims.empty() ? shifts.size() != 1 : shifts.size() != dims.size())
    infer::fault(fmt::format("shifts {} and dims {} differ in length", text(Attr(shifts)), text(Attr(dims))));
  for (const std::int64_t d : dims) infer::axis(d, std::max(1, static_cast<int>(t["x"].shape.size())));
  return {t["x"]};
}

// The last `shift` positions come first; without dims that of all elements in a row.
std::vector<ValueId> expand_roll(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Shape shape = b.type(x).shape;
  Ints dims = node.ints("dims");
  ValueId y = x;
  if (dims.empty()) y = b("reshape", {x}, {{"shape", Ints{-1}}}), dims = {0};
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const Shape& now = b.type(y).shape;
    if (now.empty()) break;
    const Dim size = now[static_cast<std::size_t>(infer::axis(dims[i], static_cast<int>(now.size())))];
    std::int64_t shift = node.ints("shifts")[i];
    if (size.known() && size.size() > 0) shift = (shift % size.size() + size.size()) % size.size();
    if (shift == 0 || size == Dim(0)) continue;
    const ValueId tail = b("slice", {y}, {{"dim", dims[i]}, {"start", -shift}});
    y = b("cat", {tail, b("slice", {y}, {{"dim", dims[i]}, {"end", -shift}})}, {{"dim", dims[i]}});
  }
  if (node.ints("dims").empty()) y = b("reshape", {y}, {{"shape", sizes(shape)}});
  return {y};
}

std::vector<Type> infer_interleave(const OpTypes& t) {
  Type out = t["x"];
  const std::int64_t repeats = t.node.integer("repeats");
  if (repeats < 0) infer::fault(fmt::format("repeats {} is negative", repeats), "E503");
  Dim& size = out.shape[static_cast<std::size_t>(infer::axis(t.node.integer("dim"), static_cast<int>(out.shape.size())))];
  size = size * Dim(repeats);
  return {out};
}

// [a, b] → [[a, a], [b, b]] → [a, a, b, b].
std::vector<ValueId> expand_interleave(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Shape shape = b.type(x).shape;
  const std::int64_t axis = infer::axis(node.integer("dim"), static_cast<int>(shape.size()));
  Ints size(shape.size() + 1, -1);
  size[static_cast<std::size_t>(axis) + 1] = node.integer("repeats");
  const ValueId wide = b("expand", {b("unsqueeze", {x}, {{"dim", axis + 1}})}, {{"size", size}});
  return {b("flatten", {wide}, {{"start_dim", axis}, {"end_dim", axis + 1}})};
}

// Without an axis: all elements in a row.
std::vector<ValueId> convert_interleave(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  if (!given(node, "dim")) x = b("flatten", {x});
  return {b("repeat_interleave", {x}, {{"repeats", integer(node, "repeats")}, {"dim", integer(node, "dim", 0)}})};
}

std::vector<ValueId> convert_tflite_tile(Builder& b, const ForeignNode& node) {
  return {b("repeat", {tfl_in::input(node, 0)}, {{"repeats", tfl_in::constant_ints(b, node, 1)}})};
}

std::vector<ValueId> convert_tflite_broadcast(Builder& b, const ForeignNode& node) {
  return {b("expand", {tfl_in::input(node, 0)}, {{"size", tfl_in::constant_ints(b, node, 1)}})};
}

std::vector<ValueId> convert_tflite_reverse(Builder& b, const ForeignNode& node) {
  return {b("flip", {tfl_in::input(node, 0)}, {{"dims", tfl_in::constant_ints(b, node, 1)}})};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view expand_source = R"py(
def expand(x, size):
    """Broadcasts x; -1 keeps an axis as it is."""
    own = (1,) * (len(size) - x.ndim) + x.shape
    sizes = [o if n < 0 else n for n, o in zip(size, own, strict=True)]
    return jnp.broadcast_to(x, sizes)
)py";

// Each axis so many times, after the leading ones that a higher rank asks for.
void keras_tile(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type &in = k.graph.type(x), &type = k.graph.type(out);
  const bool grown = type.shape.size() > in.shape.size();
  const Order order = grown ? identity_order(static_cast<int>(type.shape.size())) : k.order(x);
  const int tensor = grown ? keras::reshape(k, k.source_order(x), {in.dtype, led_by_ones(in.shape, type.shape.size())}) : k.as_is(x);
  const Sizes from = sizes(k.tensor(tensor).type.shape), to = sizes(ordered(type, order).shape);
  Ints times;
  for (std::size_t i = 0; i < to.size(); ++i) times.push_back(from[i] == to[i] ? 1 : to[i] / std::max<std::int64_t>(from[i], 1));
  if (std::all_of(times.begin(), times.end(), [](std::int64_t n) { return n == 1; })) return k.give(out, tensor, order);
  if (times[0] != 1) k.touch(0);
  k.give(out, k.add("ops.numpy.Tile", {KerasRef{tensor}}, ordered(type, order), {{"repeats", times}}), order);
}

void keras_flip(KerasLowering& k, const Node& node) {
  const Order order = k.order(node.inputs[0]);
  Ints axes;
  for (const int axis : flipped(node, static_cast<int>(order.size())))
    axes.push_back(order[static_cast<std::size_t>(axis)]), k.touch(order[static_cast<std::size_t>(axis)]);
  keras::lower_each(k, node, "ops.numpy.Flip", {{"axis", axes}});
}

// ---- ONNX ----

// Both sides broadcast: x's axis stays where the shape says 1.
std::vector<ValueId> convert_onnx_expand(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  std::optional<Ints> shape = onnx::fixed_ints(b, node, 1, "shape");
  if (!shape) refuse(node, "'Expand' lacks its shape");
  const Shape from = b.type(x).shape;
  while (shape->size() < from.size()) shape->insert(shape->begin(), 1);
  const std::size_t lead = shape->size() - from.size();
  for (std::size_t i = lead; i < shape->size(); ++i)
    if ((*shape)[i] == 1) (*shape)[i] = -1;
  return {b("expand", {x}, {{"size", *shape}})};
}

std::vector<ValueId> convert_onnx_tile(Builder& b, const ForeignNode& node) {
  const std::optional<Ints> repeats = onnx::fixed_ints(b, node, 1, "repeats");
  if (!repeats) refuse(node, "'Tile' lacks its repeats");
  return {b("repeat", {onnx::required(node, 0)}, {{"repeats", *repeats}})};
}

// What broadcasting leaves alone is a 1.
void lower_onnx_expand(OnnxLowering& l, const Node& node) {
  Ints shape;
  for (const Dim& d : l.graph.type(node.outputs[0]).shape) shape.push_back(d.known() ? d.size() : 1);
  l.give(node.outputs[0], l.add("Expand", {l[node.inputs[0]], l.ints(shape, "shape")}));
}

void lower_onnx_repeat(OnnxLowering& l, const Node& node) {
  const Ints& repeats = node.ints("repeats");
  int x = l[node.inputs[0]];
  Ints lead;
  for (std::size_t i = l.graph.type(node.inputs[0]).shape.size(); i < repeats.size(); ++i)
    lead.push_back(static_cast<std::int64_t>(lead.size()));
  if (!lead.empty()) x = l.add("Unsqueeze", {x, l.ints(lead, "axes")});
  l.give(node.outputs[0], l.add("Tile", {x, l.ints(repeats, "repeats")}));
}

void lower_onnx_flip(OnnxLowering& l, const Node& node) {
  Ints axes;
  for (const int axis : flipped(node, static_cast<int>(l.graph.type(node.inputs[0]).shape.size()))) axes.push_back(axis);
  const std::size_t n = axes.size();
  const int x = l[node.inputs[0]];
  if (n == 0 || l.graph.type(node.inputs[0]).shape.empty()) return l.give(node.outputs[0], l.add("Identity", {x}));
  l.give(node.outputs[0],
         l.add("Slice", {x, l.ints(Ints(n, -1), "starts"), l.ints(Ints(n, std::numeric_limits<std::int64_t>::min()), "ends"),
                         l.ints(axes, "axes"), l.ints(Ints(n, -1), "steps")}));
}

// The first elements of each sample reversed, as many as its length: positions along time, gathered.
std::vector<ValueId> convert_onnx_reverse(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), lengths = onnx::required(node, 1);
  const Sizes shape = onnx::static_shape(b, node, x);
  const auto rank = static_cast<int>(shape.size());
  const int time = infer::axis(integer(node, "time_axis", 0), rank), batch = infer::axis(integer(node, "batch_axis", 1), rank);
  Sizes along(shape.size(), 1), across(shape.size(), 1);
  along[static_cast<std::size_t>(time)] = shape[static_cast<std::size_t>(time)];
  across[static_cast<std::size_t>(batch)] = shape[static_cast<std::size_t>(batch)];
  std::vector<std::int64_t> steps;
  for (std::int64_t t = 0; t < shape[static_cast<std::size_t>(time)]; ++t) steps.push_back(t);
  const ValueId step = b.constant(Tensor::from(steps, along));
  const ValueId length = b("reshape", {cast(b, lengths, DType::int64)}, {{"shape", Ints(across)}});
  const ValueId turned = b("sub", {b("sub", {length, b.constant(Tensor::from<std::int64_t>({1}, {}))}), step});
  const ValueId place = b("where", {b("lt", {step, length}), turned, step});
  return {b("gather", {x, b("expand", {place}, {{"size", Ints(shape)}})}, {{"dim", std::int64_t{time}}})};
}

}  // namespace

OpList repeat() {
  static const OpDef defs[] = {
      {.name = "expand",
       .doc = "Broadcasts x: axes of size 1 are repeated, axes before its first are added.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"size", AttrKind::ints, {}, "the result's sizes; -1 keeps x's own"}},
       .infer = infer_expand,
       .eval = eval_expand,
       .torch = {{"aten.expand.default", "", 0, convert_expand},
                 {"aten.expand_as.default", "", 0, convert_expand},
                 {"aten.broadcast_to.default", "", 0, convert_expand}},
       .onnx = {{.target = "Expand", .convert = convert_onnx_expand}},
       .tflite_in = {{"BROADCAST_TO", "", 0, convert_tflite_broadcast}},
       .tflite = {.lower = lower_expand},
       .onnx_out = {.lower = lower_onnx_expand},
       .keras = {.lower = keras_tile},
       .source = {.torch = "{x}.expand({size})",
                  .keras = "keras.ops.broadcast_to({x}, {size})",
                  .jax = "expand({x}, {size})",
                  .jax_helpers = {expand_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"expand(x: float32[1, 6, 1, 1], size: [1, 6, 4, 4])", "expand(x: float32[3, 1], size: [2, -1, 4])",
                    "expand(x: float32[3], size: [3])"}},
      {.name = "repeat",
       .doc = "The whole of x several times along each axis.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"repeats", AttrKind::ints, {}, "how often, for each axis of the result"}},
       .infer = infer_repeat,
       .eval = eval_repeat,
       .torch = {{"aten.repeat.default", "x=self"}, {"aten.tile.default", "", 0, convert_tile}},
       .onnx = {{.target = "Tile", .convert = convert_onnx_tile}},
       .tflite_in = {{"TILE", "", 0, convert_tflite_tile}},
       .tflite = {.lower = lower_repeat},
       .onnx_out = {.lower = lower_onnx_repeat},
       .keras = {.lower = keras_tile},
       .source = {.torch = "{x}.repeat({repeats})", .keras = "keras.ops.tile({x}, {repeats})", .jax = "jnp.tile({x}, {repeats})"},
       .quant = {QuantRule::same_scale},
       .examples = {"repeat(x: float32[1, 3, 2, 2], repeats: [1, 2, 3, 1])", "repeat(x: float32[3], repeats: [2, 2])"}},
      {.name = "repeat_interleave",
       .doc = "Each position along an axis several times in a row.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"repeats", AttrKind::integer, {}, "how often"}, {"dim", AttrKind::integer, {}, "the axis"}},
       .infer = infer_interleave,
       .expand = expand_interleave,
       .torch = {{"aten.repeat_interleave.self_int", "", 0, convert_interleave}},
       .source = {.torch = "torch.repeat_interleave({x}, {repeats}, dim={dim})",
                  .keras = "keras.ops.repeat({x}, {repeats}, axis={dim})",
                  .jax = "jnp.repeat({x}, {repeats}, axis={dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"repeat_interleave(x: float32[1, 3, 4, 4], repeats: 2, dim: 1)",
                    "repeat_interleave(x: float32[2, 3], repeats: 3, dim: -1)"}},
      {.name = "flip",
       .doc = "The elements in reverse along axes.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dims", AttrKind::ints, {}, "the axes"}},
       .infer = infer_flip,
       .eval = eval_flip,
       .torch = {{"aten.flip.default", "x=self"}},
       .onnx = {{.target = "ReverseSequence", .since = 10, .convert = convert_onnx_reverse}},
       .tflite_in = {{"REVERSE_V2", "", 0, convert_tflite_reverse}},
       .tflite = {.lower = lower_flip},
       .onnx_out = {.lower = lower_onnx_flip},
       .keras = {.lower = keras_flip},
       .source = {.torch = "torch.flip({x}, {dims})", .keras = "keras.ops.flip({x}, {dims})", .jax = "jnp.flip({x}, {dims})"},
       .quant = {QuantRule::same_scale},
       .examples = {"flip(x: float32[1, 3, 4, 4], dims: [2, 3])", "flip(x: float32[2, 5], dims: -1)"}},
      {.name = "roll",
       .doc = "The elements moved on along axes; what leaves at the end comes in at the start.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"shifts", AttrKind::ints, {}, "how far, for each of dims"},
                 {"dims", AttrKind::ints, Ints{}, "the axes; none: all elements in a row"}},
       .infer = infer_roll,
       .expand = expand_roll,
       .torch = {{"aten.roll.default", "x=self"}},
       .source = {.torch = "torch.roll({x}, {shifts!}, dims={dims?})",
                  .keras = "keras.ops.roll({x}, {shifts}, {dims})",
                  .jax = "jnp.roll({x}, {shifts!}, axis={dims?})"},
       .quant = {QuantRule::same_scale},
       .examples = {"roll(x: float32[1, 3, 4, 4], shifts: [1, -1], dims: [2, 3])", "roll(x: float32[2, 5], shifts: 3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
