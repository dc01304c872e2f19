#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/spatial.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace wherry::ops {

namespace {

struct Ends {
  std::int64_t before = 0, after = 0;
  bool any() const { return before || after; }
};

// PyTorch lists pairs from the last axis backwards; here one for each axis.
std::vector<Ends> ends_of(const Node& node, std::size_t rank) {
  const Ints& pad = node.ints("pad");
  if (pad.size() % 2 || pad.size() > 2 * rank)
    infer::fault(fmt::format("pad {} is not a pair for each of at most {} axes", text(Attr(pad)), rank));
  infer::bounded("pad", pad);
  std::vector<Ends> ends(rank);
  for (std::size_t i = 0; 2 * i < pad.size(); ++i) ends[rank - 1 - i] = {pad[2 * i], pad[2 * i + 1]};
  return ends;
}

// How much a mode can add at one end of an axis.
std::int64_t limit(const std::string& mode, std::int64_t size) { return mode == "reflect" ? size - 1 : size; }

std::vector<Type> infer_pad(const OpTypes& t) {
  Type out = t["x"];
  const std::string& mode = t.node.string("mode");
  const std::vector<Ends> ends = ends_of(t.node, out.shape.size());
  for (std::size_t i = 0; i < ends.size(); ++i) {
    Dim& size = out.shape[i];
    const auto [before, after] = ends[i];
    if (mode != "constant" && (before < 0 || after < 0))
      infer::fault(fmt::format("mode {} cannot cut: pad {}", mode, text(t.node.attr("pad"))));
    if (size.known()) {
      const std::int64_t most = limit(mode, size.size());
      if (mode != "constant" && mode != "replicate" && (before > most || after > most))
        infer::fault(fmt::format("mode {} adds at most {} to axis {} of {}", mode, most, i, text(out.shape)));
      if (mode == "replicate" && ends[i].any() && size.size() == 0) infer::fault("mode replicate needs an element to repeat");
      if (size.size() + before + after < 0)
        infer::fault(fmt::format("pad {} cuts more than {} has", text(t.node.attr("pad")), text(out.shape)));
    }
    size = size + Dim(before + after);
  }
  return {out};
}

// Where the element at `at` of the padded axis comes from; -1: the constant.
std::int64_t source_of(const std::string& mode, std::int64_t at, std::int64_t size) {
  if (at >= 0 && at < size) return at;
  if (mode == "reflect") return at < 0 ? -at : 2 * (size - 1) - at;
  if (mode == "replicate") return at < 0 ? 0 : size - 1;
  if (mode == "circular") return at < 0 ? at + size : at - size;
  return -1;
}

struct Walk {
  const std::byte* x;
  std::byte* out;
  const Sizes &sizes, &out_sizes;
  std::vector<std::vector<std::int64_t>> sources;  // by axis
  const std::byte* fill;
  std::size_t width;  // bytes of an element

  void axis(std::size_t i, std::int64_t from, bool outside) {
    const std::vector<std::int64_t>& map = sources[i];
    for (const std::int64_t s : map) {
      const bool filled = outside || s < 0;
      const std::int64_t element = from * sizes[i] + (filled ? 0 : s);
      if (i + 1 < sources.size()) {
        axis(i + 1, element, filled);
      } else {
        std::memcpy(out, filled ? fill : x + static_cast<std::size_t>(element) * width, width);
        out += width;
      }
    }
  }
};

void eval(OpValues& v) {
  const Tensor& x = v["x"];
  const std::vector<Ends> ends = ends_of(v.node, x.sizes().size());
  const Tensor fill = Tensor::scalar(v.node.number("value"), x.dtype());
  std::byte* to = v.out().mutable_bytes().data();
  if (ends.empty()) return x.copy_to(to);
  Walk walk{x.data(), to, x.sizes(), v.out().sizes(), {}, fill.data(), byte_size(x.dtype())};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    std::vector<std::int64_t> map;
    for (std::int64_t o = 0; o < v.out().sizes()[i]; ++o) map.push_back(source_of(v.node.string("mode"), o - ends[i].before, x.sizes()[i]));
    walk.sources.push_back(std::move(map));
  }
  walk.axis(0, 0, false);
}

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

int pad_node(TflLowering& t, const Node& node, int x, const std::vector<Ends>& ends, Type& type) {
  std::vector<std::int64_t> amounts;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    amounts.insert(amounts.end(), {ends[i].before, ends[i].after});
    type.shape[i] = type.shape[i] + Dim(ends[i].before + ends[i].after);
  }
  const double value = node.number("value");
  std::vector<int> inputs = {x, tfl::int32s(t, amounts, {static_cast<std::int64_t>(ends.size()), 2})};
  if (node.string("mode") == "reflect") return t.add("MIRROR_PAD", inputs, type, {{"mode", "REFLECT"}});
  if (value == 0) return t.add("PAD", inputs, type);
  inputs.push_back(t.constant(Tensor::scalar(value, type.dtype)));
  return t.add("PADV2", inputs, type);
}

// replicate and circular: the pieces to be repeated, joined on each axis.
int join_ends(TflLowering& t, const Node& node, int x, const std::vector<Ends>& ends, Type& type) {
  const bool circular = node.string("mode") == "circular";
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto [before, after] = ends[i];
    const std::int64_t size = type.shape[i].size();
    const int axis = static_cast<int>(i);
    std::vector<int> parts;
    if (circular && before) parts.push_back(tfl::slice(t, x, axis, size - before, before, type));
    if (!circular && before) parts.insert(parts.end(), static_cast<std::size_t>(before), tfl::slice(t, x, axis, 0, 1, type));
    parts.push_back(x);
    if (circular && after) parts.push_back(tfl::slice(t, x, axis, 0, after, type));
    if (!circular && after) parts.insert(parts.end(), static_cast<std::size_t>(after), tfl::slice(t, x, axis, size - 1, 1, type));
    type.shape[i] = size + before + after;
    x = tfl::concatenate(t, parts, axis, type);
  }
  return x;
}

void lower(TflLowering& t, const Node& node) {
  const ValueId value = node.inputs[0];
  const Type& source = t.graph.type(value);
  const std::size_t rank = source.shape.size();
  const std::vector<Ends> by_source = ends_of(node, rank);
  // Where only places are padded, the windowed operator that follows wants channels last and may take the padding over.
  const bool spatial = rank >= 3 && !by_source[0].any() && !by_source[1].any();
  const Order order = spatial ? TflLowering::channels_last_order(static_cast<int>(rank)) : t.order(value);
  int x = t.in_order(value, order);
  Type type = ordered(source, order);
  std::vector<Ends> ends(rank);
  for (std::size_t i = 0; i < rank; ++i) ends[static_cast<std::size_t>(order[i])] = by_source[i];
  for (std::size_t i = 0; i < rank; ++i) {  // what is cut is sliced off first
    const std::int64_t begin = std::max<std::int64_t>(-ends[i].before, 0), lost = begin + std::max<std::int64_t>(-ends[i].after, 0);
    if (lost == 0) continue;
    const std::int64_t left = type.shape[i].size() - lost;
    if (left < 0) t.refuse(node, "it cuts more at one end than the axis holds");
    x = tfl::slice(t, x, static_cast<int>(i), begin, left, type);
    type.shape[i] = left;
    ends[i] = {std::max<std::int64_t>(ends[i].before, 0), std::max<std::int64_t>(ends[i].after, 0)};
  }
  if (std::any_of(ends.begin(), ends.end(), [](const Ends& e) { return e.any(); })) {
    const bool built_in = node.string("mode") == "constant" || node.string("mode") == "reflect";
    x = built_in ? pad_node(t, node, x, ends, type) : join_ends(t, node, x, ends, type);
  }
  t.give(node.outputs[0], x, order);
}

// ---- PyTorch --------------------------------------------------------------------------------------------------------

std::vector<ValueId> convert(Builder& b, const ForeignNode& n, const char* pad, std::string mode) {
  return {b("pad", {n.value("self")}, {{"pad", ints(n, pad)}, {"mode", std::move(mode)}, {"value", number(n, "value", 0.0)}})};
}

std::vector<ValueId> convert_pad(Builder& b, const ForeignNode& n) {
  const std::string mode = word(n, "mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "replicate" && mode != "circular")
    refuse(n, fmt::format("argument 'mode' of '{}' is {}, expected one of constant, reflect, replicate, circular", n.target, mode));
  return convert(b, n, "pad", mode);
}

std::vector<ValueId> convert_constant(Builder& b, const ForeignNode& n) { return convert(b, n, "pad", "constant"); }
std::vector<ValueId> convert_reflection(Builder& b, const ForeignNode& n) { return convert(b, n, "padding", "reflect"); }
std::vector<ValueId> convert_replication(Builder& b, const ForeignNode& n) { return convert(b, n, "padding", "replicate"); }

// A table of two numbers an axis. What grows along spatial axes alone is padded channels first.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  ValueId x = tfl_in::input(node, 0);
  const Ints table = tfl_in::constant_ints(b, node, 1);
  const std::size_t rank = b.type(x).shape.size();
  if (table.size() != 2 * rank) refuse(node, fmt::format("'{}' with {} numbers for {} axes", node.target, table.size(), rank));
  std::vector<NamedAttr> attrs;
  if (node.target == "PADV2") attrs.push_back({"value", tfl_in::constant(b, node, 2).item()});
  if (node.target == "MIRROR_PAD") {
    const bool by_one = std::all_of(table.begin(), table.end(), [](std::int64_t n) { return n <= 1; });
    const bool reflect = word(node, "mode", "REFLECT") == "REFLECT";
    if (!reflect && !by_one) refuse(node, "MIRROR_PAD that repeats the border by more than one element");
    attrs.push_back({"mode", std::string(reflect ? "reflect" : "replicate")});
  }
  const bool image = rank > 2 && table[0] == 0 && table[1] == 0 && table[2 * rank - 2] == 0 && table[2 * rank - 1] == 0;
  Ints pads;  // from the last axis backwards
  for (std::size_t axis = image ? rank - 1 : rank; axis-- > (image ? 1U : 0U);)
    pads.insert(pads.end(), {table[2 * axis], table[2 * axis + 1]});
  if (image) x = tfl_in::channels_first(b, x);
  attrs.push_back({"pad", pads});
  const ValueId y = b("pad", {x}, attrs);
  return {image ? tfl_in::channels_last(b, y) : y};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view pad_source = R"py(
def pad(x, pad, mode="constant", value=0.0):
    """Adds before and after the axes, the last one first; cuts off where negative."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    for axis, (before, behind) in enumerate(pairs):
        end = x.shape[axis] - max(-behind, 0)
        x = jax.lax.slice_in_dim(x, max(-before, 0), end, axis=axis)
    widths = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return jnp.pad(x, widths, constant_values=value)
    return jnp.pad(x, widths, {"replicate": "edge", "circular": "wrap"}.get(mode, mode))
)py";

// ---- Keras ----------------------------------------------------------------------------------------------------------

// replicate and circular: the pieces to be repeated, joined on each axis.
int keras_join_ends(KerasLowering& k, const Node& node, int x, const std::vector<Ends>& ends, Type& type) {
  const bool circular = node.string("mode") == "circular";
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto [before, after] = ends[i];
    if (!ends[i].any()) continue;
    const std::int64_t size = type.shape[i].size();
    const int axis = static_cast<int>(i);
    std::vector<int> parts;
    if (circular && before) parts.push_back(keras::slice(k, x, axis, size - before, before, type));
    if (!circular && before) parts.insert(parts.end(), static_cast<std::size_t>(before), keras::slice(k, x, axis, 0, 1, type));
    parts.push_back(x);
    if (circular && after) parts.push_back(keras::slice(k, x, axis, 0, after, type));
    if (!circular && after) parts.insert(parts.end(), static_cast<std::size_t>(after), keras::slice(k, x, axis, size - 1, 1, type));
    type.shape[i] = size + before + after;
    x = keras::concatenate(k, parts, axis, type);
  }
  return x;
}

void keras_pad(KerasLowering& k, const Node& node) {
  const ValueId value = node.inputs[0];
  const std::size_t rank = k.graph.type(value).shape.size();
  const std::vector<Ends> by_source = ends_of(node, rank);
  const bool spatial = (rank == 3 || rank == 4) && !by_source[0].any() && !by_source[1].any();
  const Order order = spatial ? LayoutLowering::channels_last_order(static_cast<int>(rank)) : k.order(value);
  int x = k.in_order(value, order);
  Type type = ordered(k.graph.type(value), order);
  std::vector<Ends> ends(rank);
  for (std::size_t i = 0; i < rank; ++i) ends[static_cast<std::size_t>(order[i])] = by_source[i];
  std::vector<Ints> amounts;
  bool some = false;
  for (std::size_t i = 0; i < rank; ++i) {  // what is cut is sliced off first
    if (ends[i].any()) k.touch(static_cast<int>(i));
    const std::int64_t begin = std::max<std::int64_t>(-ends[i].before, 0), lost = begin + std::max<std::int64_t>(-ends[i].after, 0);
    const std::int64_t left = type.shape[i].size() - lost;
    if (left < 0) k.refuse(node, "it cuts more at one end than the axis holds");
    x = keras::slice(k, x, static_cast<int>(i), begin, left, type);
    type.shape[i] = left;
    ends[i] = {std::max<std::int64_t>(ends[i].before, 0), std::max<std::int64_t>(ends[i].after, 0)};
    some = some || ends[i].any();
    amounts.push_back({ends[i].before, ends[i].after});
  }
  const std::string& mode = node.string("mode");
  const double fill = node.number("value");
  if (some && mode != "constant" && mode != "reflect") {
    x = keras_join_ends(k, node, x, ends, type);
  } else if (some) {
    type = ordered(k.graph.type(node.outputs[0]), order);
    const std::vector<Ints> places = spatial ? std::vector<Ints>(amounts.begin() + 1, amounts.end() - 1) : std::vector<Ints>{};
    if (spatial && k.batched() && mode == "constant" && fill == 0)
      x = k.add(keras::places(k, node, "ZeroPadding"), {KerasRef{x}}, type,
                {{"padding", rank == 3 ? KerasValue(Attr(places[0])) : KerasValue(places)}});
    else
      x = k.add("ops.numpy.Pad", fill == 0 ? std::vector<KerasValue>{KerasRef{x}} : std::vector<KerasValue>{KerasRef{x}, Attr(fill)}, type,
                {{"pad_width", amounts}, {"mode", mode}});
  }
  k.give(node.outputs[0], x, order);
}

// ---- ONNX: all that stands before the axes, then all that stands behind, first axis first ----

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const std::int64_t rank = onnx::rank(b, x);
  const std::optional<Ints> pads = onnx::fixed_ints(b, n, 1, "pads");
  if (!pads) refuse(n, "'Pad' lacks its pads");
  Ints every;
  for (std::int64_t i = 0; i < rank; ++i) every.push_back(i);
  const Ints axes = onnx::fixed_ints(b, n, 3, "axes").value_or(every);
  if (pads->size() != 2 * axes.size()) refuse(n, fmt::format("'Pad' has {} pads for {} axes", pads->size(), axes.size()));
  Ints pad(static_cast<std::size_t>(2 * rank), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto from_last = static_cast<std::size_t>(rank - 1 - infer::axis(axes[i], static_cast<int>(rank)));
    pad[2 * from_last] = (*pads)[i];
    pad[2 * from_last + 1] = (*pads)[i + axes.size()];
  }
  while (pad.size() > 2 && pad.back() == 0 && pad[pad.size() - 2] == 0) pad.resize(pad.size() - 2);
  const std::string mode = word(n, "mode", "constant");
  const std::string ours = mode == "edge" ? "replicate" : mode == "wrap" ? "circular" : mode;
  if (ours != "constant" && ours != "reflect" && mode != "edge" && mode != "wrap")
    refuse(n, fmt::format("mode '{}' of 'Pad' is not known", mode));
  return {b("pad", {x}, {{"pad", pad}, {"mode", ours}, {"value", onnx::fixed_number(b, n, 2, "value").value_or(0)}})};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const std::size_t rank = l.graph.type(node.inputs[0]).shape.size();
  Ints pads;
  const std::vector<Ends> ends = ends_of(node, rank);
  for (const Ends& e : ends) pads.push_back(e.before);
  for (const Ends& e : ends) pads.push_back(e.after);
  const std::string& mode = node.string("mode");
  if (mode == "circular" && l.opset < 19) l.refuse(node, "mode circular needs opset 19");
  const std::string theirs = mode == "replicate" ? "edge" : mode == "circular" ? "wrap" : mode;
  const int value = mode == "constant" ? l.scalar(node.number("value"), l.graph.type(node.inputs[0]).dtype) : -1;
  l.give(node.outputs[0], l.add("Pad", {l[node.inputs[0]], l.ints(pads, "pads"), value}, {{"mode", theirs}}));
}

// A number for all sides, one for each place, or two; cropping is the same with a minus.
std::vector<ValueId> convert_keras_pad(Builder& b, const ForeignNode& node) {
  const bool crop = node.target.starts_with("Crop");
  const ValueId x = tfl_in::input(node, 0);
  const std::size_t places = b.type(x).shape.size() - 2;
  Ints given =
      keras_in::per_axis(node, crop ? "cropping" : "padding",
                         node.attr(crop ? "cropping" : "padding") && std::holds_alternative<Ints>(*node.attr(crop ? "cropping" : "padding"))
                             ? ints(node, crop ? "cropping" : "padding").size()
                             : 2 * places,
                         crop ? 0 : 1);
  if (given.size() == places && places == 2) given = {given[0], given[0], given[1], given[1]};
  if (given.size() != 2 * places) refuse(node, fmt::format("'{}' of {} numbers", node.target, given.size()));
  Ints ends;
  for (std::size_t i = places; i-- > 0;) ends.insert(ends.end(), {given[2 * i], given[2 * i + 1]});
  for (std::int64_t& end : ends) end = crop ? -end : end;
  return {tfl_in::channels_last(b, b("pad", {tfl_in::channels_first(b, x)}, {{"pad", ends}}))};
}

// Each axis cut or padded with zeros to a size, as much before as behind; the larger half of an odd rest is behind.
std::vector<ValueId> convert_onnx_center(Builder& b, const ForeignNode& node) {
  ValueId y = onnx::required(node, 0);
  const Sizes shape = onnx::static_shape(b, node, y);
  const std::optional<Ints> wanted = onnx::fixed_ints(b, node, 1, "shape");
  Ints axes = ints(node, "axes", Ints{});
  if (axes.empty())
    for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (!wanted || wanted->size() != axes.size()) refuse(node, "'CenterCropPad' has no size for each axis");
  Ints pad(2 * shape.size(), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = infer::axis(axes[i], static_cast<int>(shape.size()));
    const std::int64_t size = shape[static_cast<std::size_t>(axis)], more = (*wanted)[i] - size;
    if (more < 0) {
      const std::int64_t from = -more / 2;
      y = b("slice", {y}, {{"dim", std::int64_t{axis}}, {"start", from}, {"end", from + (*wanted)[i]}});
    } else {
      const std::size_t at = 2 * (shape.size() - 1 - static_cast<std::size_t>(axis));  // pairs from the last axis backwards
      pad[at] = more / 2, pad[at + 1] = more - more / 2;
    }
  }
  const bool none = std::all_of(pad.begin(), pad.end(), [](std::int64_t n) { return n == 0; });
  if (!none) y = b("pad", {y}, {{"pad", pad}});
  return {y == onnx::required(node, 0) ? b("identity", {y}) : y};
}

}  // namespace

OpList pad() {
  static const OpDef defs[] = {
      {.name = "pad",
       .doc = "Adds elements before and behind the axes, or cuts some off where a number is negative.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"pad", AttrKind::ints, {}, "before and after the last axis, before and after the one before it, …"},
                 {"mode", AttrKind::string, std::string("constant"), "what is added", {"constant", "reflect", "replicate", "circular"}},
                 {"value", AttrKind::number, 0.0, "what mode constant adds"}},
       .infer = infer_pad,
       .eval = eval,
       .layout = {LayoutRule::spatial},
       .torch = {{.target = "aten.pad.default", .convert = convert_pad},
                 {.target = "aten.constant_pad_nd.default", .convert = convert_constant},
                 {.target = "aten.reflection_pad1d.default", .convert = convert_reflection},
                 {.target = "aten.reflection_pad2d.default", .convert = convert_reflection},
                 {.target = "aten.reflection_pad3d.default", .convert = convert_reflection},
                 {.target = "aten.replication_pad1d.default", .convert = convert_replication},
                 {.target = "aten.replication_pad2d.default", .convert = convert_replication},
                 {.target = "aten.replication_pad3d.default", .convert = convert_replication}},
       .onnx = {{.target = "Pad", .convert = convert_onnx}, {.target = "CenterCropPad", .since = 18, .convert = convert_onnx_center}},
       .tflite_in = {{"PAD", "", 0, convert_tflite}, {"PADV2", "", 0, convert_tflite}, {"MIRROR_PAD", "", 0, convert_tflite}},
       .keras_in = {{"ZeroPadding1D", "", 0, convert_keras_pad},
                    {"ZeroPadding2D", "", 0, convert_keras_pad},
                    {"Cropping1D", "", 0, convert_keras_pad},
                    {"Cropping2D", "", 0, convert_keras_pad}},
       .tflite = {.lower = lower},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_pad},
       .source = {.torch = "F.pad({x}, {pad}, mode={mode?}, value={value?})",
                  .jax = "pad({x}, {pad}, mode={mode?}, value={value?})",
                  .jax_helpers = {pad_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"pad(x: float32[1, 3, 4, 5], pad: [1, 2])", "pad(x: float32[2, 3, 4, 5], pad: [0, 1, 2, 3, 1, 0, 0, 2], value: 2.5)",
                    "pad(x: float32[1, 2, 4, 5], pad: [1, 2, 3, 1], mode: reflect)",
                    "pad(x: float32[1, 2, 4, 5], pad: [2, 1, 0, 3], mode: replicate)",
                    "pad(x: float32[1, 2, 4, 5], pad: [2, 1, 4, 3], mode: circular)", "pad(x: float32[1, 2, 6, 5], pad: [-1, 2, 3, -2])",
                    "pad(x: float32[2, 3, 7], pad: [3, 2], mode: reflect)", "pad(x: float32[6], pad: [1, 1])"}},
  };
  return defs;
}

}  // namespace wherry::ops
