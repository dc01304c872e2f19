// Elements put where positions say.
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

std::vector<Type> infer_scatter(const OpTypes& t) {
  const Type &x = t["x"], &index = t["index"], &src = t["src"];
  if (index.dtype != DType::int64 && index.dtype != DType::int32)
    infer::fault(fmt::format("scatter takes index of int64 or int32, not {}", name(index.dtype)), "E502");
  if (src.dtype != x.dtype) infer::fault(fmt::format("x is {} and src {}", name(x.dtype), name(src.dtype)), "E502");
  if (x.shape.empty() || index.shape.size() != x.shape.size())
    infer::fault(fmt::format("scatter takes x and index of one rank, at least 1, not {} and {}", text(x), text(index)));
  if (src.shape != index.shape) infer::fault(fmt::format("index {} and src {} differ in shape", text(index), text(src)));
  const std::size_t axis = axis_of(t.node, x.shape.size());
  for (std::size_t i = 0; i < x.shape.size(); ++i)
    if (i != axis && x.shape[i].known() && index.shape[i].known() && index.shape[i].size() > x.shape[i].size())
      infer::fault(fmt::format("index {} is larger than x {} along axis {}", text(index), text(x), i));
  if (const Tensor* at = t.constant("index"); at && x.shape[axis].known())
    for (const std::int64_t place : at->to_ints())
      if (place < 0 || place >= x.shape[axis].size())
        infer::fault(fmt::format("position {} is out of range for an axis of {}", place, x.shape[axis].text()));
  return {x};
}

// Calls put(place in x, place in src) in row-major order.
template <class Put>
void each_place(const OpValues& v, Put put) {
  const Tensor &x = v["x"], &index = v["index"];
  const std::size_t axis = axis_of(v.node, x.sizes().size());
  const std::vector<std::int64_t> at = index.to_ints();
  const Sizes strides = contiguous_strides(x.sizes());
  for (std::size_t k = 0; k < at.size(); ++k) {
    std::int64_t to = 0, rest = static_cast<std::int64_t>(k);
    for (std::size_t i = strides.size(); i-- > 0; rest /= index.sizes()[i]) {
      const std::int64_t own = i == axis ? at[k] : rest % index.sizes()[i];
      if (own < 0 || own >= x.sizes()[i])
        fail({.code = "E705",
              .message = fmt::format("scatter asks for position {} of an axis of {}", own, x.sizes()[i]),
              .at = v.node.where()});
      to += own * strides[i];
    }
    put(static_cast<std::size_t>(to), k);
  }
}

void eval_scatter(OpValues& v) {
  const std::string mode = v.node.is_none("reduce") ? "" : v.node.string("reduce");
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto x = v["x"].as<T>(), src = v["src"].as<T>();
    const auto out = v.out().mutable_as<T>();
    std::copy(x.begin(), x.end(), out.begin());
    each_place(v, [&](std::size_t to, std::size_t from) {
      T& y = out[to];
      const T s = src[from];
      y = mode == "sum"    ? static_cast<T>(y + s)
          : mode == "prod" ? static_cast<T>(y * s)
          : mode == "amax" ? std::max(y, s)
          : mode == "amin" ? std::min(y, s)
                           : s;
    });
  });
}

// Whole coordinates of every element of src, an int32 tensor with an axis more than it.
int coordinates(TflLowering& l, const Node& node, const Sizes& shape) {
  const ValueId index = node.inputs[1];
  const std::size_t axis = axis_of(node, shape.size());
  const Sizes strides = contiguous_strides(shape);
  std::vector<int> parts;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == axis) {
      const int at = l.source_order(index);
      parts.push_back(l.tensor(at).dtype == DType::int32 ? at : l.add("CAST", {at}, {DType::int32, to_shape(shape)}));
      continue;
    }
    Tensor own = Tensor::allocate(DType::int32, shape);
    const auto values = own.mutable_as<std::int32_t>();
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<std::int32_t>(static_cast<std::int64_t>(k) / strides[i] % shape[i]);
    parts.push_back(l.constant(std::move(own)));
  }
  Type packed{DType::int32, to_shape(shape)};
  const auto count = static_cast<std::int64_t>(parts.size());
  packed.shape.emplace_back(count);
  return l.add("PACK", parts, packed, {{"values_count", count}, {"axis", count}});
}

constexpr std::int64_t most_layers = 64;  // that are brought together one by one

// SCATTER_ND with whole coordinates adds up what falls on one place: a mask of it says where x stays. Of one layer along the axis no two
// elements fall on one place, so that other ways to bring them together take layer after layer.
void lower_scatter(TflLowering& l, const Node& node) {
  const ValueId src = node.inputs[2], out = node.outputs[0];
  const Type& type = l.graph.type(out);
  const std::string mode = node.is_none("reduce") ? "" : node.string("reduce");
  const Sizes shape = sizes(l.graph.type(node.inputs[1]).shape);
  const std::size_t axis = axis_of(node, shape.size());
  const bool by_layers = mode != "" && mode != "sum";
  if (by_layers && shape[axis] > most_layers)
    l.refuse(node, fmt::format("TFLite scatters by putting or adding; by {} it would take {} steps of four operators", mode, shape[axis]));
  const int whole = tfl::int32s(l, sizes(type.shape)), where = coordinates(l, node, shape), values = l.source_order(src);
  const auto scattered = [&](int at, int what) { return l.add("SCATTER_ND", {at, what, whole}, {l.tensor(what).dtype, type.shape}); };
  int y = l.source_order(node.inputs[0]);
  if (mode == "sum") return l.give_source_order(out, tfl::binary(l, "ADD", y, scattered(where, values), type));
  const auto hit = [&](int at, const Sizes& counted) {
    Tensor ones = Tensor::allocate(DType::int32, counted);
    for (std::int32_t& one : ones.mutable_as<std::int32_t>()) one = 1;
    const int hits = scattered(at, l.constant(std::move(ones)));
    return l.add("GREATER", {hits, l.constant(Tensor::scalar(0, DType::int32))}, {DType::boolean, type.shape});
  };
  if (!by_layers) return l.give_source_order(out, l.add("SELECT_V2", {hit(where, shape), scattered(where, values), y}, type));
  Type places{DType::int32, to_shape(shape)};
  places.shape.emplace_back(static_cast<std::int64_t>(shape.size()));
  Sizes one = shape;
  one[axis] = 1;
  const std::string_view together = mode == "amax" ? "MAXIMUM" : mode == "amin" ? "MINIMUM" : "MUL";
  for (std::int64_t i = 0; i < shape[axis]; ++i) {
    const int at = tfl::slice(l, where, static_cast<int>(axis), i, 1, places);
    const int what = tfl::slice(l, values, static_cast<int>(axis), i, 1, {type.dtype, to_shape(shape)});
    const int placed = scattered(at, what);
    const int both = together == "MUL" ? tfl::binary(l, together, y, placed, type) : l.add(together, {y, placed}, type);
    y = l.add("SELECT_V2", {hit(at, one), both, y}, type);
  }
  l.give_source_order(out, y);
}

// Keras's operation takes whole coordinates, a row for each element.
void keras_scatter(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], index = node.inputs[1], src = node.inputs[2];
  if (!k.graph.is_constant(index) || !node.is_none("reduce")) k.refuse(node, "Keras scatters only by putting, to places that are known");
  const Type& type = k.graph.type(x);
  const Sizes shape = sizes(k.graph.type(index).shape), strides = contiguous_strides(shape);
  const std::vector<std::int64_t> at = k.graph[index].constant->to_ints();
  std::vector<std::int32_t> rows;
  for (std::size_t e = 0; e < at.size(); ++e)
    for (std::size_t i = 0; i < shape.size(); ++i)
      rows.push_back(
          static_cast<std::int32_t>(i == axis_of(node, shape.size()) ? at[e] : static_cast<std::int64_t>(e) / strides[i] % shape[i]));
  const auto count = static_cast<std::int64_t>(at.size());
  k.touch(0);
  const int where = k.constant(Tensor::from(rows, {count, static_cast<std::int64_t>(shape.size())}));
  const int values = keras::reshape(k, k.source_order(src), {type.dtype, {count}});
  k.give_source_order(node.outputs[0],
                      k.add("ops.core.ScatterUpdate", {KerasRef{k.source_order(x)}, KerasRef{where}, KerasRef{values}}, type));
}

std::vector<ValueId> convert_scatter(Builder& b, const ForeignNode& n) {
  const ValueId x = n.value("self"), index = n.value("index");
  const bool adds = n.target.starts_with("aten.scatter_add");
  ValueId src = given(n, "src") ? n.value("src") : absent;
  if (src == absent) {
    const ValueId value = b.scalar(number(n, "value"), b.type(x).dtype);
    src = b("expand", {value}, {{"size", onnx::static_shape(b, n, index)}});
  } else if (b.type(src).shape != b.type(index).shape) {
    const Sizes wanted = onnx::static_shape(b, n, index);
    for (std::size_t i = 0; i < wanted.size(); ++i) src = b("slice", {src}, {{"dim", static_cast<std::int64_t>(i)}, {"end", wanted[i]}});
  }
  std::string mode = adds ? "sum" : word(n, "reduce", "");
  if (mode == "add") mode = "sum";
  if (mode == "multiply") mode = "prod";
  if (!flag(n, "include_self", true) || mode == "mean")
    refuse(n, fmt::format("'{}' with include_self False or mean is not known", n.target));
  return {b("scatter", {x, index, src}, {{"dim", integer(n, "dim")}, {"reduce", mode.empty() ? Attr(None{}) : Attr(mode)}})};
}

// ---- ONNX ----

Attr onnx_mode(const ForeignNode& n) {
  const std::string mode = word(n, "reduction", "none");
  for (const auto& [theirs, ours] : {std::pair("add", "sum"), std::pair("mul", "prod"), std::pair("max", "amax"), std::pair("min", "amin")})
    if (mode == theirs) return std::string(ours);
  if (mode != "none") refuse(n, fmt::format("reduction '{}' of '{}' is not known", mode, n.target));
  return None{};
}

// Positions that count from the end, from the start.
ValueId from_start(Builder& b, ValueId index, std::int64_t size) {
  const DType type = b.type(index).dtype;
  const ValueId moved = b("add", {index, b.scalar(static_cast<double>(size), type)});
  return b("where", {b("lt", {index, b.scalar(0, type)}), moved, index});
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const Sizes shape = onnx::static_shape(b, n, x);
  const int axis = infer::axis(integer(n, "axis", 0), static_cast<int>(shape.size()));
  const ValueId index = from_start(b, onnx::required(n, 1), shape[static_cast<std::size_t>(axis)]);
  return {b("scatter", {x, index, onnx::required(n, 2)}, {{"dim", std::int64_t{axis}}, {"reduce", onnx_mode(n)}})};
}

// Coordinates of the first axes become positions along one axis of all of these.
ValueId scatter_nd(Builder& b, const ForeignNode& n, ValueId x, ValueId coordinates, ValueId updates, const Attr& mode) {
  const Sizes shape = onnx::static_shape(b, n, x), at = onnx::static_shape(b, n, coordinates);
  const auto depth = static_cast<std::size_t>(at.empty() ? 0 : at.back());
  if (depth < 1 || depth > shape.size()) refuse(n, fmt::format("'{}' names {} axes of {}", n.target, depth, text(to_shape(shape))));
  const Sizes outer(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(depth)), strides = contiguous_strides(outer);
  ValueId place = absent;
  for (std::size_t i = 0; i < depth; ++i) {
    const ValueId axis = b("select", {coordinates}, {{"dim", std::int64_t{-1}}, {"index", static_cast<std::int64_t>(i)}});
    const ValueId one = from_start(b, cast(b, axis, DType::int64), shape[i]);
    const ValueId part = b("mul", {one, b.scalar(static_cast<double>(strides[i]), DType::int64)});
    place = place == absent ? part : b("add", {place, part});
  }
  const Sizes inner(shape.begin() + static_cast<std::ptrdiff_t>(depth), shape.end());
  const std::int64_t width = element_count(inner), rows = element_count(Sizes(at.begin(), at.end() - 1));
  const ValueId index = b("expand", {b("reshape", {place}, {{"shape", Ints{rows, 1}}})}, {{"size", Ints{rows, width}}});
  const ValueId flat = b("reshape", {x}, {{"shape", Ints{element_count(outer), width}}});
  const ValueId src = b("reshape", {updates}, {{"shape", Ints{rows, width}}});
  return b("reshape", {b("scatter", {flat, index, src}, {{"dim", std::int64_t{0}}, {"reduce", mode}})}, {{"shape", Ints(shape)}});
}

std::vector<ValueId> convert_onnx_nd(Builder& b, const ForeignNode& n) {
  return {scatter_nd(b, n, onnx::required(n, 0), onnx::required(n, 1), onnx::required(n, 2), onnx_mode(n))};
}

// Over zeros, adding up.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& n) {
  const ValueId updates = tfl_in::input(n, 1);
  const NamedAttr type{"dtype", b.type(updates).dtype};
  const ValueId zeros = b("full", {}, {{"size", tfl_in::constant_ints(b, n, 2)}, {"fill_value", 0.0}, type});
  return {scatter_nd(b, n, zeros, tfl_in::input(n, 0), updates, std::string("sum"))};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  OnnxLowering::Attributes attributes = {{"axis", node.attr("dim")}};
  if (!node.is_none("reduce")) {
    const std::string mode = node.string("reduce");
    if (l.opset < (mode.starts_with("am") ? 18 : 16)) l.refuse(node, fmt::format("scattering by {} needs opset 18", mode));
    attributes.emplace_back("reduction", mode == "sum" ? "add" : mode == "prod" ? "mul" : mode == "amax" ? "max" : "min");
  }
  l.give(node.outputs[0], l.add("ScatterElements", {l[node.inputs[0]], l[node.inputs[1]], l[node.inputs[2]]}, attributes));
}

constexpr std::string_view scatter_source = R"py(
def scatter(x, dim, index, src, reduce=None):
    """x with the elements of src where index says, along an axis."""
    places = list(jnp.indices(index.shape, sparse=True))
    places[dim] = index
    target = jnp.asarray(x).at[tuple(places)]
    ways = {"sum": "add", "prod": "multiply", "amax": "max", "amin": "min"}
    return getattr(target, ways.get(reduce, "set"))(src)
)py";

void source_of_scatter(SourceSlot& slot, const Graph&, std::span<const Node* const> nodes) {
  if (!nodes[0]->is_none("reduce")) slot.torch = "torch.scatter_reduce({x}, {dim}, {index}, {src}, reduce={reduce})";
}

}  // namespace

OpList scatter() {
  static const OpDef defs[] = {
      {.name = "scatter",
       .doc = "x with the elements of src in place of those that index names along an axis, or brought together with them.",
       .inputs = {{"x", "any tensor"}, {"index", "positions along the axis, of x's rank"}, {"src", "what is put there, of index's shape"}},
       .attrs = {{"dim", AttrKind::integer, {}, "the axis"},
                 {"reduce",
                  AttrKind::string,
                  None{},
                  "how what is there and what comes are brought together; null: what comes takes its place",
                  {"sum", "prod", "amax", "amin"},
                  false,
                  true}},
       .infer = infer_scatter,
       .eval = eval_scatter,
       .torch = {{"aten.scatter.src", "", 0, convert_scatter},
                 {"aten.scatter.value", "", 0, convert_scatter},
                 {"aten.scatter.reduce", "", 0, convert_scatter},
                 {"aten.scatter_add.default", "", 0, convert_scatter},
                 {"aten.scatter_reduce.two", "", 0, convert_scatter}},
       .onnx = {{.target = "ScatterElements", .since = 11, .convert = convert_onnx},
                {.target = "Scatter", .convert = convert_onnx},
                {.target = "ScatterND", .since = 11, .convert = convert_onnx_nd}},
       .tflite_in = {{"SCATTER_ND", "", 0, convert_tflite}},
       .tflite = {.lower = lower_scatter},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_scatter},
       .source = {.torch = "torch.scatter({x}, {dim}, {index}, {src})",
                  .jax = "scatter({x}, {dim}, {index}, {src}, reduce={reduce?})",
                  .jax_helpers = {scatter_source}},
       .source_for = source_of_scatter,
       .examples = {"scatter(x: float32[3, 5], index: const int64[2, 3] = [0, 4, 2, 1, 0, 3], src: float32[2, 3], dim: 1)"}},
  };
  return defs;
}

}  // namespace wherry::ops
