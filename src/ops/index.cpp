// Parts of a tensor, by positions that are themselves a tensor.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <cstring>

namespace wherry::ops {

namespace {

std::size_t axis_of(const Node& node, std::size_t rank) {
  return static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(rank)));
}

void needs_integers(const OpTypes& t, std::string_view input) {
  const DType dtype = t[input].dtype;
  if (dtype != DType::int64 && dtype != DType::int32)
    infer::fault(fmt::format("{} takes {} of int64 or int32, not {}", t.node.op->name, input, name(dtype)), "E502");
}

// Positions that are known must lie within the axis.
void check_positions(const OpTypes& t, std::string_view input, const Dim& size) {
  const Tensor* positions = t.constant(input);
  if (!positions || !size.known()) return;
  for (const std::int64_t at : positions->to_ints())
    if (at < 0 || at >= size.size()) infer::fault(fmt::format("position {} is out of range for an axis of {}", at, size.size()));
}

// E705 rather than memory that is not ours: positions that come from an input.
std::int64_t position(const Node& node, std::int64_t at, std::int64_t size) {
  if (at < 0 || at >= size)
    fail({.code = "E705", .message = fmt::format("{} asks for position {} of an axis of {}", node.op->name, at, size), .at = node.where()});
  return at;
}

std::vector<Type> infer_index_select(const OpTypes& t) {
  Type out = t["x"];
  needs_integers(t, "index");
  infer::needs_rank(t, "index", 1);
  const std::size_t axis = axis_of(t.node, out.shape.size());
  check_positions(t, "index", out.shape[axis]);
  out.shape[axis] = t["index"].shape[0];
  return {out};
}

// Rows of `bytes` each: for every outer position, those that `index` names.
void take_rows(const Node& node, const Tensor& x, std::size_t axis, const std::vector<std::int64_t>& index, std::byte* to) {
  std::size_t bytes = byte_size(x.dtype());
  for (std::size_t i = axis + 1; i < x.sizes().size(); ++i) bytes *= static_cast<std::size_t>(x.sizes()[i]);
  std::int64_t outer = 1;
  for (std::size_t i = 0; i < axis; ++i) outer *= x.sizes()[i];
  const std::int64_t n = x.sizes()[axis];
  for (std::int64_t o = 0; o < outer; ++o)
    for (const std::int64_t at : index) {
      if (bytes) std::memcpy(to, x.data() + static_cast<std::size_t>(o * n + position(node, at, n)) * bytes, bytes);
      to += bytes;
    }
}

void eval_index_select(OpValues& v) {
  take_rows(v.node, v["x"], axis_of(v.node, v["x"].sizes().size()), v["index"].to_ints(), v.out().mutable_data());
}

// Constant positions as int32; computed ones as they are: GATHER takes both.
int positions(TflLowering& l, ValueId v) {
  if (l.graph.is_constant(v)) return l.constant(l.graph[v].constant->cast(DType::int32), l.graph[v].name);
  return l.source_order(v);
}

void lower_index_select(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const std::int64_t axis = order[axis_of(node, order.size())], none = 0;
  const int made = l.add("GATHER", {l.as_is(x), positions(l, node.inputs[1])}, ordered(l.graph.type(out), order),
                         {{"axis", axis}, {"batch_dims", none}});
  l.give(out, made, order);
}

std::vector<Type> infer_gather(const OpTypes& t) {
  const Type &x = t["x"], &index = t["index"];
  needs_integers(t, "index");
  if (index.shape.size() != x.shape.size())
    infer::fault(fmt::format("gather takes an index of x's rank, not {} for {}", text(index), text(x)));
  const std::size_t axis = axis_of(t.node, x.shape.size());
  for (std::size_t i = 0; i < x.shape.size(); ++i)
    if (i != axis && x.shape[i].known() && index.shape[i].known() && index.shape[i].size() > x.shape[i].size())
      infer::fault(fmt::format("index {} is larger than x {} along axis {}", text(index), text(x), i));
  check_positions(t, "index", x.shape[axis]);
  return {{x.dtype, index.shape}};
}

void eval_gather(OpValues& v) {
  const Tensor &x = v["x"], &out = v.out();
  const std::size_t axis = axis_of(v.node, x.sizes().size()), bytes = byte_size(x.dtype());
  const std::vector<std::int64_t> index = v["index"].to_ints();
  const Sizes strides = contiguous_strides(x.sizes());
  std::byte* to = v.out().mutable_data();
  std::int64_t remaining = 0;
  for (std::size_t at = 0; at < index.size(); ++at, to += bytes) {
    std::int64_t from = 0;
    remaining = static_cast<std::int64_t>(at);
    for (std::size_t i = strides.size(); i-- > 0;) {
      const std::int64_t own = remaining % out.sizes()[i];
      remaining /= out.sizes()[i];
      from += strides[i] * (i == axis ? position(v.node, index[at], x.sizes()[i]) : own);
    }
    std::memcpy(to, x.data() + static_cast<std::size_t>(from) * bytes, bytes);
  }
}

// GATHER_ND with whole coordinates: the element's own along every axis but one.
void lower_gather(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type& type = l.graph.type(out);
  const Sizes shape = sizes(type.shape);
  const std::size_t axis = axis_of(node, shape.size());
  const Sizes strides = contiguous_strides(shape);
  std::vector<int> coordinates;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == axis) {
      int at = positions(l, node.inputs[1]);
      if (l.tensor(at).dtype != DType::int32) at = l.add("CAST", {at}, {DType::int32, type.shape});
      coordinates.push_back(at);
      continue;
    }
    Tensor own = Tensor::allocate(DType::int32, shape);
    const auto values = own.mutable_as<std::int32_t>();
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<std::int32_t>(static_cast<std::int64_t>(k) / strides[i] % shape[i]);
    coordinates.push_back(l.constant(std::move(own)));
  }
  Type packed{DType::int32, type.shape};
  packed.shape.emplace_back(static_cast<std::int64_t>(shape.size()));
  const auto count = static_cast<std::int64_t>(coordinates.size());
  const int where = l.add("PACK", coordinates, packed, {{"values_count", count}, {"axis", count}});
  l.give_source_order(out, l.add("GATHER_ND", {l.source_order(x), where}, type));
}

std::vector<Type> infer_embedding(const OpTypes& t) {
  needs_integers(t, "x");
  infer::needs_rank(t, "weight", 2);
  check_positions(t, "x", t["weight"].shape[0]);
  Type out{t["weight"].dtype, t["x"].shape};
  out.shape.push_back(t["weight"].shape[1]);
  return {out};
}

void eval_embedding(OpValues& v) { take_rows(v.node, v["weight"], 0, v["x"].to_ints(), v.out().mutable_data()); }

void lower_embedding(TflLowering& l, const Node& node) {
  const std::int64_t none = 0;
  const ValueId out = node.outputs[0];
  const int made = l.add("GATHER", {l.source_order(node.inputs[1]), positions(l, node.inputs[0])}, l.graph.type(out),
                         {{"axis", none}, {"batch_dims", none}});
  l.give_source_order(out, made);
}

std::vector<ValueId> convert_embedding(Builder& b, const ForeignNode& node) {  // padding_idx matters to training only
  return {b("embedding", {node.value("indices"), node.value("weight")})};
}

// Positions counted from the end become those from the start.
ValueId from_start(Builder& b, const ForeignNode& node, ValueId index, const Dim& size) {
  if (const std::optional<Tensor>& known = b.graph()[index].constant) {
    std::vector<std::int64_t> values = known->to_ints();
    if (std::all_of(values.begin(), values.end(), [](std::int64_t at) { return at >= 0; })) return index;
    if (!size.known()) refuse(node, "positions counted from the end of an axis without a size");
    for (std::int64_t& at : values) at += at < 0 ? size.size() : 0;
    return b.constant(Tensor::from(values, known->sizes()));
  }
  if (!size.known()) refuse(node, "positions that may count from the end of an axis without a size");
  const DType type = b.type(index).dtype;
  return b("where", {b("lt", {index, b.scalar(0, type)}), b("add", {index, b.scalar(static_cast<double>(size.size()), type)}), index});
}

// Positions of any shape along an axis, whose place in the result their own axes take.
ValueId taken(Builder& b, const ForeignNode& node, ValueId x, std::size_t axis, ValueId index) {
  const auto dim = static_cast<std::int64_t>(axis);
  const Shape picked = b.type(index).shape;
  if (picked.size() != 1) index = b("reshape", {index}, {{"shape", Ints{-1}}});
  const ValueId y = b("index_select", {x, index}, {{"dim", dim}});
  if (picked.size() == 1) return y;
  if (picked.empty()) return b("squeeze", {y}, {{"dim", dim}});
  if (!is_static(picked)) refuse(node, "indexing by a tensor of rank 2 or more without fixed sizes");
  return b("unflatten", {y}, {{"dim", dim}, {"sizes", sizes(picked)}});
}

// x[:, index] and x[:, rows, columns]: several tensors name positions along their axes counted as one.
struct Places {
  ValueId x;         // with these axes as one
  ValueId index;     // its shape stands in the result for that axis
  std::size_t axis;  // of x
  Ints order;        // how the axes were moved; empty: not
  Sizes lengths;     // of the axes that became one; empty: there was one
};

// What lies between the axes moves behind them, which is then where PyTorch has the result's first axis.
Places places(Builder& b, const ForeignNode& node, ValueId x, const std::vector<ValueId>& indices) {
  const Shape shape = b.type(x).shape;
  std::vector<std::size_t> axes, others;
  for (std::size_t i = 0; i < shape.size(); ++i) (i < indices.size() && indices[i] != absent ? axes : others).push_back(i);
  for (const std::size_t axis : axes)
    if (!is_integer(b.type(indices[axis]).dtype)) refuse(node, "indexing by a mask gives a size that depends on the data");
  const auto from = [&](std::size_t axis) { return cast(b, from_start(b, node, indices[axis], shape[axis]), DType::int64); };
  Places out{.x = x, .index = from(axes.at(0)), .axis = axes[0]};
  if (axes.size() == 1) return out;
  if (axes.back() - axes[0] >= axes.size()) {
    out.axis = 0;
    out.order.assign(axes.begin(), axes.end());
    out.order.insert(out.order.end(), others.begin(), others.end());
    out.x = b("permute", {x}, {{"dims", out.order}});
  }
  for (const std::size_t axis : axes) {
    if (!shape[axis].known()) refuse(node, "indexing by several tensors needs fixed sizes of their axes");
    out.lengths.push_back(shape[axis].size());
  }
  for (std::size_t i = 1; i < axes.size(); ++i) {
    const ValueId rows = b("mul", {out.index, b.scalar(static_cast<double>(out.lengths[i]), DType::int64)});
    out.index = b("add", {rows, from(axes[i])});
  }
  const auto begin = static_cast<std::int64_t>(out.axis), end = static_cast<std::int64_t>(out.axis + axes.size() - 1);
  out.x = b("flatten", {out.x}, {{"start_dim", begin}, {"end_dim", end}});
  return out;
}

bool has_index(const std::vector<ValueId>& indices) {
  return std::any_of(indices.begin(), indices.end(), [](ValueId v) { return v != absent; });
}

std::vector<ValueId> convert_index(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::vector<ValueId> indices = node.values("indices");
  if (!has_index(indices)) return {x};
  const Places at = places(b, node, x, indices);
  return {taken(b, node, at.x, at.axis, at.index)};
}

Sizes fixed_sizes(const ForeignNode& node, const Shape& shape) {
  if (!is_static(shape)) refuse(node, fmt::format("'{}' needs fixed sizes, not {}", node.target, text(shape)));
  return sizes(shape);
}

// x with one number where a mask over its first axes says.
ValueId put_by_mask(Builder& b, const ForeignNode& node, ValueId x, ValueId mask, ValueId number) {
  const Shape& values = b.type(number).shape;
  if (!(element_count(values) == Dim(1)))
    refuse(node, fmt::format("'{}' puts {} where a mask says; only one number for all places is known", node.target, text(b.type(number))));
  if (!values.empty()) number = b("reshape", {number}, {{"shape", Ints{}}});
  for (std::size_t i = b.type(mask).shape.size(); i < b.type(x).shape.size(); ++i)
    mask = b("unsqueeze", {mask}, {{"dim", std::int64_t{-1}}});
  return b("where", {mask, cast(b, number, b.type(x).dtype), x});
}

// x[indices] = values, or += with `accumulate`.
std::vector<ValueId> convert_index_put(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self"), values = node.value("values");
  const std::vector<ValueId> indices = node.values("indices");
  const bool adds = flag(node, "accumulate", false);
  if (!has_index(indices)) refuse(node, fmt::format("'{}' without positions", node.target));
  if (indices[0] != absent && b.type(indices[0]).dtype == DType::boolean && indices.size() == 1 && !adds)
    return {put_by_mask(b, node, x, indices[0], values)};
  const Places at = places(b, node, x, indices);
  const Sizes whole = fixed_sizes(node, b.type(at.x).shape), picked = fixed_sizes(node, b.type(at.index).shape);
  const auto axis = static_cast<std::ptrdiff_t>(at.axis);
  Sizes broadcast(whole.begin(), whole.begin() + axis), flat = broadcast, line(whole.size(), 1);
  broadcast.insert(broadcast.end(), picked.begin(), picked.end());
  flat.push_back(element_count(picked)), line[at.axis] = flat.back();
  for (Sizes* s : {&broadcast, &flat}) s->insert(s->end(), whole.begin() + axis + 1, whole.end());
  const ValueId source = b("expand", {cast(b, values, b.type(x).dtype)}, {{"size", Ints(broadcast)}});
  const ValueId index = b("expand", {b("reshape", {at.index}, {{"shape", Ints(line)}})}, {{"size", Ints(flat)}});
  const ValueId src = b("reshape", {source}, {{"shape", Ints(flat)}});
  ValueId y = b("scatter", {at.x, index, src}, {{"dim", std::int64_t{axis}}, {"reduce", adds ? Attr(std::string("sum")) : Attr(None{})}});
  if (!at.lengths.empty()) y = b("unflatten", {y}, {{"dim", std::int64_t{axis}}, {"sizes", Ints(at.lengths)}});
  if (at.order.empty()) return {y};
  Ints back(at.order.size());
  for (std::size_t i = 0; i < back.size(); ++i) back[static_cast<std::size_t>(at.order[i])] = static_cast<std::int64_t>(i);
  return {b("permute", {y}, {{"dims", back}})};
}

std::vector<ValueId> convert_take(Builder& b, const ForeignNode& node) {
  const ValueId x = b("reshape", {node.value("self")}, {{"shape", Ints{-1}}});
  const ValueId index = from_start(b, node, node.value("index"), b.type(x).shape[0]);
  return {taken(b, node, x, 0, cast(b, index, DType::int64))};
}

// gather, with all axes but one broadcast.
std::vector<ValueId> convert_take_along(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self"), index = node.value("indices");
  std::size_t axis = 0;
  if (given(node, "dim")) {
    axis = static_cast<std::size_t>(infer::axis(integer(node, "dim"), static_cast<int>(b.type(x).shape.size())));
    Shape wide = b.type(x).shape, places = b.type(index).shape;
    if (wide.size() != places.size()) refuse(node, fmt::format("'{}' of {} and {}", node.target, text(b.type(x)), text(b.type(index))));
    bool equal = true;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (i == axis || wide[i] == places[i]) continue;
      equal = false;
      (wide[i] == Dim(1) ? wide : places)[i] = wide[i] == Dim(1) ? places[i] : wide[i];
    }
    if (!equal) {
      x = b("expand", {x}, {{"size", Ints(fixed_sizes(node, wide))}});
      index = b("expand", {index}, {{"size", Ints(fixed_sizes(node, places))}});
    }
  } else {
    for (ValueId* v : {&x, &index}) *v = b("reshape", {*v}, {{"shape", Ints{-1}}});
  }
  const ValueId from = cast(b, from_start(b, node, index, b.type(x).shape[axis]), DType::int64);
  return {b("gather", {x, from}, {{"dim", static_cast<std::int64_t>(axis)}})};
}

// Windows along an axis, as two axes: those of `places` windows (outer) and of what lies in one, or the other way round.
struct Windows {
  std::int64_t size, step, dilation = 1;
  bool places_outer = true;
};
ValueId windows(Builder& b, const ForeignNode& node, ValueId x, std::size_t axis, const Windows& w) {
  const Dim length = b.type(x).shape[axis];
  if (!length.known()) refuse(node, fmt::format("'{}' needs a fixed size of axis {}", node.target, axis));
  const std::int64_t span = (w.size - 1) * w.dilation + 1;
  if (w.size < 1 || w.step < 1 || w.dilation < 1 || span > length.size())
    refuse(node, fmt::format("windows of {} do not fit into axis {} of {}", span, axis, length.size()));
  const std::int64_t places = (length.size() - span) / w.step + 1;
  std::vector<std::int64_t> positions;
  const Ints sizes = w.places_outer ? Ints{places, w.size} : Ints{w.size, places};
  const Ints strides = w.places_outer ? Ints{w.step, w.dilation} : Ints{w.dilation, w.step};
  for (std::int64_t i = 0; i < sizes[0]; ++i)
    for (std::int64_t j = 0; j < sizes[1]; ++j) positions.push_back(i * strides[0] + j * strides[1]);
  const auto dim = static_cast<std::int64_t>(axis);
  return b("unflatten", {b("index_select", {x, b.ints(positions)}, {{"dim", dim}})}, {{"dim", dim}, {"sizes", sizes}});
}

// x.unfold(): what lies in a window becomes the last axis.
std::vector<ValueId> convert_unfold(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::size_t rank = b.type(x).shape.size();
  const auto axis = static_cast<std::size_t>(infer::axis(integer(node, "dimension"), static_cast<int>(rank)));
  const ValueId y = windows(b, node, x, axis, {.size = integer(node, "size"), .step = integer(node, "step")});
  Ints order;
  for (std::size_t i = 0; i <= rank; ++i)
    if (i != axis + 1) order.push_back(static_cast<std::int64_t>(i));
  order.push_back(static_cast<std::int64_t>(axis + 1));
  return {b("permute", {y}, {{"dims", order}})};
}

// functional.unfold(): [N, C, H, W] → [N, C · taps, places].
std::vector<ValueId> convert_im2col(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  const Ints size = for_axes(node, "kernel_size", 2, Ints{1}), dilation = for_axes(node, "dilation", 2, Ints{1}),
             padding = for_axes(node, "padding", 2, Ints{0}), step = for_axes(node, "stride", 2, Ints{1});
  if (padding != Ints{0, 0}) x = b("pad", {x}, {{"pad", Ints{padding[1], padding[1], padding[0], padding[0]}}});
  const std::size_t channels = b.type(x).shape.size() - 3;  // 0 without a batch
  for (std::size_t i : {1U, 0U})                            // columns first: rows stay where they are
    x = windows(b, node, x, channels + 1 + i, {.size = size[i], .step = step[i], .dilation = dilation[i], .places_outer = false});
  const auto c = static_cast<std::int64_t>(channels);  // now C, kernel rows, rows, kernel columns, columns
  Ints order = {c, c + 1, c + 3, c + 2, c + 4};
  if (channels == 1) order.insert(order.begin(), 0);
  x = b("flatten", {b("permute", {x}, {{"dims", order}})}, {{"start_dim", c}, {"end_dim", c + 2}});
  return {b("flatten", {x}, {{"start_dim", c + 1}, {"end_dim", c + 2}})};
}

const AttrDef dim_attr{"dim", AttrKind::integer, std::int64_t{0}, "the axis"};

// Positions of any shape: a vector of them, and the shape again.
std::vector<ValueId> convert_tflite_gather(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0), index = tfl_in::input(node, 1);
  const Sizes positions = tfl_in::shape_of(b, node, index);
  if (integer(node, "batch_dims", 0) != 0) refuse(node, "GATHER with batch_dims");
  const ValueId vector = tfl_in::reshaped(b, index, {element_count(positions)});
  return {tfl_in::as_stated(b, node, b("index_select", {x, vector}, {{"dim", integer(node, "axis", 0)}}))};
}

// Each row of the index names a position along the first axes: counted in one row of all of them.
std::vector<ValueId> convert_tflite_gather_nd(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0), index = tfl_in::input(node, 1);
  const Sizes shape = tfl_in::shape_of(b, node, x), rows = tfl_in::shape_of(b, node, index);
  if (rows.empty() || rows.back() < 1 || rows.back() > static_cast<std::int64_t>(shape.size()))
    refuse(node, "GATHER_ND with an index of another depth");
  const auto depth = static_cast<std::size_t>(rows.back());
  Sizes flat = {1};
  std::vector<std::int64_t> strides(depth, 1);
  for (std::size_t i = 0; i < depth; ++i) flat[0] *= shape[i];
  for (std::size_t i = depth - 1; i-- > 0;) strides[i] = strides[i + 1] * shape[i + 1];
  flat.insert(flat.end(), shape.begin() + static_cast<std::ptrdiff_t>(depth), shape.end());
  const ValueId table = tfl_in::reshaped(b, index, {element_count(rows) / rows.back(), rows.back()});
  const ValueId place = b("sum", {b("mul", {cast(b, table, DType::int64), b.ints(strides)})}, {{"dim", Ints{1}}});
  return {tfl_in::as_stated(b, node, b("index_select", {tfl_in::reshaped(b, x, flat), place}, {{"dim", std::int64_t{0}}}))};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view gather_source = R"py(
def gather(x, dim, index):
    """The elements of x that lie where index says along dim."""
    dim = dim % x.ndim
    cut = tuple(slice(n if axis != dim else None) for axis, n in enumerate(index.shape))
    return jnp.take_along_axis(x[cut], index, axis=dim)
)py";

constexpr std::string_view embedding_source = R"py(
def embedding(x, weight):
    """The rows of the weight with the numbers in x."""
    return jnp.take(weight, x, axis=0)
)py";

void keras_index_select(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = k.order(x);
  const std::int64_t axis = order[axis_of(node, order.size())];
  k.touch(static_cast<int>(axis));
  if (!k.graph.is_constant(node.inputs[1])) k.touch(0);
  k.give(out,
         k.add("ops.numpy.Take", {KerasRef{k.as_is(x)}, KerasRef{k.source_order(node.inputs[1])}}, ordered(k.graph.type(out), order),
               {{"axis", axis}}),
         order);
}

void keras_gather(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], at = node.inputs[1], out = node.outputs[0];
  const std::size_t axis = axis_of(node, k.graph.type(x).shape.size());
  k.touch(static_cast<int>(axis));
  int from = k.source_order(x);
  Type type = k.graph.type(x);
  for (std::size_t i = 0; i < type.shape.size(); ++i)  // gather looks at no more of the other axes than it gives
    if (i != axis) {
      const std::int64_t size = k.graph.type(out).shape[i].size();
      from = keras::slice(k, from, static_cast<int>(i), 0, size, type);
      type.shape[i] = size;
    }
  k.give_source_order(out, k.add("ops.numpy.TakeAlongAxis", {KerasRef{from}, KerasRef{k.source_order(at)}}, k.graph.type(out),
                                 {{"axis", static_cast<std::int64_t>(axis)}}));
}

void keras_embedding(KerasLowering& k, const Node& node) {
  const KerasWeight table = k.weight(node, "weight", "embeddings");
  k.give_source_order(node.outputs[0], k.add("Embedding", {KerasRef{k.source_order(node.inputs[0])}}, k.graph.type(node.outputs[0]),
                                             {{"input_dim", table.view[0]}, {"output_dim", table.view[1]}}, {table}));
}

// ---- ONNX ----

// Rows of a matrix of floats by computed numbers: embedding. Else positions of any shape, which may count from the end.
std::vector<ValueId> convert_onnx_gather(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  ValueId index = onnx::required(node, 1);
  const Type type = b.type(x);
  const Shape picked = b.type(index).shape;
  const auto axis = static_cast<std::int64_t>(infer::axis(integer(node, "axis", 0), static_cast<int>(type.shape.size())));
  if (axis == 0 && b.graph().is_constant(x) && !b.graph().is_constant(index) && type.shape.size() == 2 && is_float(type.dtype))
    return {b("embedding", {index, x})};
  index = cast(b, from_start(b, node, index, type.shape[static_cast<std::size_t>(axis)]), DType::int64);
  if (picked.size() != 1) index = b("reshape", {index}, {{"shape", Ints{-1}}});
  const ValueId y = b("index_select", {x, index}, {{"dim", axis}});
  if (picked.size() == 1) return {y};
  if (picked.empty()) return {b("squeeze", {y}, {{"dim", axis}})};
  return {b("unflatten", {y}, {{"dim", axis}, {"sizes", onnx::static_shape(b, node, onnx::required(node, 1))}})};
}

std::vector<ValueId> convert_onnx_elements(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const auto axis = static_cast<std::int64_t>(infer::axis(integer(node, "axis", 0), static_cast<int>(onnx::rank(b, x))));
  const ValueId index = from_start(b, node, onnx::required(node, 1), b.type(x).shape[static_cast<std::size_t>(axis)]);
  return {b("gather", {x, cast(b, index, DType::int64)}, {{"dim", axis}})};
}

// Coordinates of the first axes behind the batch become positions along one axis of all of these, the batch's own among them.
std::vector<ValueId> convert_onnx_nd(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0), index = onnx::required(node, 1);
  const Sizes shape = onnx::static_shape(b, node, x), rows = onnx::static_shape(b, node, index);
  const auto batch = static_cast<std::size_t>(std::max<std::int64_t>(integer(node, "batch_dims", 0), 0));
  const auto depth = static_cast<std::size_t>(rows.empty() ? 0 : rows.back());
  if (depth < 1 || batch + depth > shape.size() || batch >= rows.size()) refuse(node, "'GatherND' with an index of another depth");
  const auto named = static_cast<std::ptrdiff_t>(batch + depth);
  const Sizes outer(shape.begin(), shape.begin() + named), inner(shape.begin() + named, shape.end()), strides = contiguous_strides(outer);
  ValueId place = absent;
  for (std::size_t i = 0; i < depth; ++i) {
    const ValueId one = b("select", {index}, {{"dim", std::int64_t{-1}}, {"index", static_cast<std::int64_t>(i)}});
    const ValueId from = cast(b, from_start(b, node, one, Dim(shape[batch + i])), DType::int64);
    const ValueId part = b("mul", {from, b.scalar(static_cast<double>(strides[batch + i]), DType::int64)});
    place = place == absent ? part : b("add", {place, part});
  }
  if (batch > 0) {
    const std::int64_t each = strides[batch - 1];
    std::vector<std::int64_t> firsts;
    Sizes wide(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(batch));
    for (std::int64_t i = 0; i < element_count(wide); ++i) firsts.push_back(i * each);
    wide.resize(rows.size() - 1, 1);
    place = b("add", {place, b.constant(Tensor::from(firsts, wide))});
  }
  Sizes flat = {element_count(outer)}, out(rows.begin(), rows.end() - 1);
  flat.insert(flat.end(), inner.begin(), inner.end());
  out.insert(out.end(), inner.begin(), inner.end());
  const ValueId table = b("reshape", {x}, {{"shape", Ints(flat)}}), line = b("reshape", {place}, {{"shape", Ints{-1}}});
  return {b("reshape", {b("index_select", {table, line}, {{"dim", std::int64_t{0}}})}, {{"shape", Ints(out)}})};
}

// What is kept is known.
std::vector<ValueId> convert_onnx_compress(Builder& b, const ForeignNode& node) {
  ValueId x = onnx::required(node, 0);
  const std::optional<Floats> kept = onnx::fixed_numbers(b, node, 1, "condition");
  if (!kept) refuse(node, "'Compress' lacks its condition");
  const bool all = !given(node, "axis");
  if (all) x = b("flatten", {x}, {{"start_dim", std::int64_t{0}}, {"end_dim", std::int64_t{-1}}});
  std::vector<std::int64_t> places;
  for (std::size_t i = 0; i < kept->size(); ++i)
    if ((*kept)[i] != 0) places.push_back(static_cast<std::int64_t>(i));
  return {b("index_select", {x, b.ints(places)}, {{"dim", all ? std::int64_t{0} : integer(node, "axis")}})};
}

void lower_onnx_embedding(OnnxLowering& l, const Node& node) {
  l.give(node.outputs[0], l.add("Gather", {l[node.inputs[1]], l[node.inputs[0]]}, {{"axis", std::int64_t{0}}}));
}

std::vector<ValueId> convert_keras_embedding(Builder& b, const ForeignNode& node) {
  return {b("embedding", {tfl_in::input(node, 0), keras_in::variable(node, 0)})};
}

}  // namespace

OpList index() {
  static const OpDef defs[] = {
      {.name = "index_select",
       .doc = "The positions of x along an axis that a vector names, in its order.",
       .inputs = {{"x", "any tensor"}, {"index", "a vector of positions, none negative"}},
       .attrs = {dim_attr},
       .infer = infer_index_select,
       .eval = eval_index_select,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.index_select.default", "x=self"},
                 {"aten.index.Tensor", "", 0, convert_index},
                 {"aten.index_put.default", "", 0, convert_index_put},
                 {"aten.unfold.default", "", 0, convert_unfold},
                 {"aten.im2col.default", "", 0, convert_im2col},
                 {"aten.take.default", "", 0, convert_take}},
       .onnx = {{.target = "Gather", .convert = convert_onnx_gather},
                {.target = "GatherND", .since = 11, .convert = convert_onnx_nd},
                {.target = "Compress", .since = 9, .convert = convert_onnx_compress}},
       .tflite_in = {{"GATHER", "", 0, convert_tflite_gather}, {"GATHER_ND", "", 0, convert_tflite_gather_nd}},
       .tflite = {.lower = lower_index_select},
       .onnx_out = {.op = "Gather", .attributes = "axis=dim"},
       .keras = {.lower = keras_index_select},
       .source = {.torch = "torch.index_select({x}, {dim}, {index})",
                  .keras = "keras.ops.take({x}, {index}, axis={dim})",
                  .jax = "jnp.take({x}, {index}, axis={dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"index_select(x: float32[1, 6, 3, 3], index: const int64[4] = [5, 0, 0, 2], dim: 1)",
                    "index_select(x: float32[5, 2], index: int64[3] in 0..4)"}},
      {.name = "gather",
       .doc = "For each position of index the element of x that lies there but along dim, where index says.",
       .inputs = {{"x", "any tensor"}, {"index", "positions along dim, of x's rank"}},
       .attrs = {{"dim", AttrKind::integer, {}, "the axis"}},
       .infer = infer_gather,
       .eval = eval_gather,
       .torch = {{"aten.gather.default", "x=self =sparse_grad"}, {"aten.take_along_dim.default", "", 0, convert_take_along}},
       .onnx = {{.target = "GatherElements", .since = 11, .convert = convert_onnx_elements}},
       .tflite = {.lower = lower_gather},
       .onnx_out = {.op = "GatherElements", .attributes = "axis=dim"},
       .keras = {.lower = keras_gather},
       .source = {.torch = "torch.gather({x}, {dim}, {index})",
                  .keras = "keras.ops.take_along_axis({x}, {index}, axis={dim})",
                  .jax = "gather({x}, {dim}, {index})",
                  .jax_helpers = {gather_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"gather(x: float32[3, 4], index: int64[2, 4] in 0..2, dim: 0)",
                    "gather(x: float32[2, 3, 4], index: const int64[2, 3, 1] = [0, 3, 1, 2, 2, 0], dim: -1)"}},
      {.name = "embedding",
       .doc = "For each number in x the row of the weight with that number.",
       .inputs = {{"x", "numbers of rows"}, {"weight", "the rows", Role::parameter}},
       .hyper = {{"num_embeddings", AttrKind::integer, {}, "how many rows"},
                 {"embedding_dim", AttrKind::integer, {}, "the length of each"}},
       .infer = infer_embedding,
       .eval = eval_embedding,
       .parameters = [](const Hyper& hyper, const Node&) -> std::vector<Shape> {
         return {{hyper_int(hyper, "num_embeddings"), hyper_int(hyper, "embedding_dim")}};
       },
       .hyper_of = [](const Graph& graph, const Node& node) -> Hyper {
         const Shape& w = input_type(graph, node, "weight").shape;
         return {{"num_embeddings", w[0].size()}, {"embedding_dim", w[1].size()}};
       },
       .torch = {{"aten.embedding.default", "", 0, convert_embedding}},
       .keras_in = {{"Embedding", "", 0, convert_keras_embedding}},
       .tflite = {.lower = lower_embedding},
       .onnx_out = {.lower = lower_onnx_embedding},
       .keras = {.lower = keras_embedding},
       .source = {.torch = "F.embedding({x}, {weight})",
                  .keras = "keras.ops.take({weight}, {x}, axis=0)",
                  .jax = "embedding({x}, {parameters})",
                  .torch_module = "nn.Embedding({num_embeddings}, {embedding_dim})",
                  .jax_init = "{\"weight\": jax.random.normal({key}, ({num_embeddings}, {embedding_dim}))}",
                  .jax_helpers = {embedding_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"embedding(x: int64[2, 3] in 0..4, num_embeddings: 5, embedding_dim: 4)"}},
  };
  return defs;
}

}  // namespace wherry::ops
