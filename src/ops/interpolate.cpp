// Resizing by nearest or linear interpolation, with PyTorch's rule for coordinates to the bit: all of it in float32.
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/onnx_resize.h"
#include "ops/source_helpers.h"
#include "ops/tflite_in.h"
#include "ops/torch_resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace wherry::ops {

namespace {

int spatial_axes(const Shape& x) { return static_cast<int>(x.size()) - 2; }

// One number stands for all axes.
template <class List>
auto for_axis(const List& list, std::size_t axis) {
  return list[list.size() == 1 ? 0 : axis];
}

std::optional<double> factor(const Node& node, std::size_t axis) {
  return node.is_none("scale_factor") ? std::nullopt : std::optional(for_axis(std::get<Floats>(node.attr("scale_factor")), axis));
}

template <class List>
void fits(const List& list, std::string_view attr, std::size_t axes) {
  if (list.size() != 1 && list.size() != axes)
    infer::fault(fmt::format("{} {} has {} numbers; x has {} spatial axes", attr, text(Attr(list)), list.size(), axes));
}

void check_lists(const Node& node, std::size_t axes) {
  if (node.is_none("size") && node.is_none("scale_factor")) infer::fault("interpolate needs size or scale_factor");
  if (!node.is_none("size")) {
    fits(node.ints("size"), "size", axes);
    infer::bounded("size", node.ints("size"));
    for (const std::int64_t s : node.ints("size"))
      if (s <= 0) infer::fault(fmt::format("size {} is not positive", text(node.attr("size"))));
  }
  if (node.is_none("scale_factor")) return;
  const Floats& factors = std::get<Floats>(node.attr("scale_factor"));
  fits(factors, "scale_factor", axes);
  for (const double f : factors)
    if (!(f > 0 && f < 1e6)) infer::fault(fmt::format("scale_factor {} is out of range", text(Attr(factors))));
}

Dim scaled(const Dim& size, double by) {
  if (size.known()) return static_cast<std::int64_t>(std::floor(static_cast<double>(size.size()) * by));
  if (by != std::floor(by)) infer::fault(fmt::format("scale_factor {} of the symbolic size {} is no whole number", by, size.text()));
  return size * Dim(static_cast<std::int64_t>(by));
}

std::vector<Type> infer_interpolate(const OpTypes& t) {
  infer::needs_float(t, "x");
  Type out = t["x"];
  const int axes = spatial_axes(out.shape);
  const std::string& mode = t.node.string("mode");
  if (axes != 1 && axes != 2) infer::fault(fmt::format("interpolate takes x of rank 3 or 4, not {}", text(out)));
  if (mode != "nearest" && (mode == "linear") != (axes == 1)) infer::fault(fmt::format("mode {} does not fit {}", mode, text(out)));
  if (mode == "nearest" && t.node.flag("align_corners")) infer::fault("align_corners has no meaning for mode nearest");
  check_lists(t.node, static_cast<std::size_t>(axes));
  for (std::size_t i = 0; i < static_cast<std::size_t>(axes); ++i) {
    Dim& size = out.shape[i + 2];
    if (size == Dim(0)) infer::fault(fmt::format("x is {}: an axis to be resized is empty", text(t["x"])));
    size = t.node.is_none("size") ? scaled(size, *factor(t.node, i)) : Dim(for_axis(t.node.ints("size"), i));
    if (size == Dim(0)) infer::fault(fmt::format("scale_factor {} leaves no output", text(t.node.attr("scale_factor"))));
  }
  return {out};
}

// One output along an axis: low · (1 - weight) + high · weight.
struct Tap {
  std::int64_t low, high;
  float weight;
};

std::vector<Tap> taps_of(const Node& node, std::size_t axis, std::int64_t in, std::int64_t out) {
  const std::optional<double> given = factor(node, axis);
  const bool nearest = node.string("mode") == "nearest", aligned = node.flag("align_corners");
  const float ratio = given ? static_cast<float>(1.0 / *given) : static_cast<float>(in) / static_cast<float>(out);
  const float step = !aligned ? ratio : out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0F;
  std::vector<Tap> taps;
  for (std::int64_t o = 0; o < out; ++o) {
    const auto at = static_cast<float>(o);
    if (nearest) {
      const std::int64_t source = std::min(static_cast<std::int64_t>(std::floor(at * step)), in - 1);
      taps.push_back({source, source, 0});
      continue;
    }
    const float place = aligned ? at * step : std::max(step * (at + 0.5F) - 0.5F, 0.0F);
    const std::int64_t low = std::min(static_cast<std::int64_t>(place), in - 1);
    taps.push_back({low, std::min(low + 1, in - 1), std::min(std::max(place - static_cast<float>(low), 0.0F), 1.0F)});
  }
  return taps;
}

void eval(OpValues& v) {
  const Tensor& x = v["x"];
  const bool flat = x.rank() == 3;
  const Sizes& to = v.out().sizes();
  const std::int64_t height = flat ? 1 : x.sizes()[2], width = x.sizes().back();
  const std::vector<Tap> rows = flat ? std::vector<Tap>{{0, 0, 0}} : taps_of(v.node, 0, height, to[2]);
  const std::vector<Tap> columns = taps_of(v.node, flat ? 0 : 1, width, to.back());
  const float* plane = x.as<float>().data();
  float* out = v.out().mutable_as<float>().data();
  for (std::int64_t p = 0; p < x.sizes()[0] * x.sizes()[1]; ++p, plane += height * width)
    for (const Tap& r : rows)
      for (const Tap& c : columns) {
        const float *low = plane + r.low * width, *high = plane + r.high * width;
        const float above = low[c.low] * (1 - c.weight) + low[c.high] * c.weight;
        const float below = high[c.low] * (1 - c.weight) + high[c.high] * c.weight;
        *out++ = above * (1 - r.weight) + below * r.weight;
      }
}

double flops(const Graph& graph, const Node& node) {
  const auto count = static_cast<double>(known_count(graph.type(node.outputs[0]).shape));
  return node.string("mode") == "nearest" ? 0 : 3 * count;
}

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

// Whether the target's own rule, which knows the sizes only, gives these taps.
bool built_in(const Node& node, std::size_t axis, std::int64_t in, std::int64_t out, const std::vector<Tap>& taps) {
  if (node.flag("align_corners") || !factor(node, axis)) return true;
  const float ratio = static_cast<float>(in) / static_cast<float>(out);
  if (node.string("mode") != "nearest") return ratio == static_cast<float>(1.0 / *factor(node, axis));
  for (std::int64_t o = 0; o < out; ++o)
    if (std::min(static_cast<std::int64_t>(std::floor(static_cast<float>(o) * ratio)), in - 1) != taps[static_cast<std::size_t>(o)].low)
      return false;
  return true;
}

// Any linear taps along one axis: both neighbours gathered and mixed.
int gather_axis(TflLowering& t, int x, int axis, const std::vector<Tap>& taps, Type& type) {
  const auto at = static_cast<std::size_t>(axis);
  std::vector<std::int64_t> low, high;
  std::vector<float> near, far;
  for (const Tap& tap : taps) low.push_back(tap.low), high.push_back(tap.high), near.push_back(1 - tap.weight), far.push_back(tap.weight);
  type.shape[at] = static_cast<std::int64_t>(taps.size());
  const auto gather = [&](const std::vector<std::int64_t>& indices) {
    return t.add("GATHER", {x, tfl::int32s(t, indices)}, type, {{"axis", std::int64_t{axis}}});
  };
  const int first = gather(low);
  if (std::all_of(far.begin(), far.end(), [](float w) { return w == 0; })) return first;
  Sizes sizes(type.shape.size(), 1);
  sizes[at] = static_cast<std::int64_t>(taps.size());
  return tfl::binary(t, "ADD", tfl::binary(t, "MUL", first, t.constant(Tensor::from(near, sizes)), type),
                     tfl::binary(t, "MUL", gather(high), t.constant(Tensor::from(far, sizes)), type), type);
}

void lower(TflLowering& t, const Node& node) {
  Type type = tfl::channels_last(t.graph.type(node.inputs[0]));
  const Type out = tfl::framed_output(t.graph, node);
  int x = t.channels_last(node.inputs[0]);
  const bool flat = type.shape.size() == 3;
  if (flat) {
    type.shape.insert(type.shape.begin() + 1, Dim(1));
    x = tfl::reshape(t, x, type);
  }
  bool exact = true;
  std::vector<std::vector<Tap>> taps(2);
  for (std::size_t i = flat ? 1 : 0; i < 2; ++i) {
    const std::int64_t from = type.shape[i + 1].size(), to = out.shape[i + 1].size();
    const std::size_t axis = flat ? 0 : i;
    taps[i] = taps_of(node, axis, from, to);
    exact = exact && built_in(node, axis, from, to, taps[i]);
  }
  if (exact) {
    const bool nearest = node.string("mode") == "nearest", aligned = node.flag("align_corners");
    x = t.add(nearest ? "RESIZE_NEAREST_NEIGHBOR" : "RESIZE_BILINEAR", {x, tfl::int32s(t, {out.shape[1].size(), out.shape[2].size()})}, out,
              {{"align_corners", aligned}, {"half_pixel_centers", !nearest && !aligned}});
  } else {
    for (std::size_t i = flat ? 1 : 0; i < 2; ++i) x = gather_axis(t, x, static_cast<int>(i) + 1, taps[i], type);
  }
  tfl::give_framed(t, node, x);
}

// ---- PyTorch --------------------------------------------------------------------------------------------------------

Floats floats(const ForeignNode& n, std::string_view argument) {
  const std::optional<Attr> list = coerce(*n.attr(argument), AttrKind::numbers);
  if (!list) refuse(n, fmt::format("argument '{}' of '{}' is no list of numbers", argument, n.target));
  return std::get<Floats>(*list);
}

// "aten.upsample_<mode><axes>d.vec" takes lists; ".default" the size and each axis's own scale.
std::vector<ValueId> convert(Builder& b, const ForeignNode& n, std::string mode) {
  const bool vec = n.target.ends_with(".vec");
  const char* x = vec ? "input" : "self";
  std::vector<NamedAttr> attrs = {{"mode", std::move(mode)}, {"align_corners", flag(n, "align_corners", false)}};
  if (given(n, "output_size")) attrs.push_back({"size", ints(n, "output_size")});
  if (given(n, "scale_factors") && n.attr("scale_factors")) attrs.push_back({"scale_factor", floats(n, "scale_factors")});
  Floats scales;
  int named = 0;
  for (const char* name : {"scales", "scales_h", "scales_w"})
    if (n.find(name)) {
      ++named;
      if (given(n, name)) scales.push_back(number(n, name));
    }
  if (!scales.empty() && static_cast<int>(scales.size()) != named) refuse(n, fmt::format("'{}' scales one axis only", n.target));
  if (!scales.empty()) attrs.push_back({"scale_factor", scales});
  return {b("interpolate", {n.value(x)}, std::move(attrs))};
}

std::vector<ValueId> convert_nearest(Builder& b, const ForeignNode& n) { return convert(b, n, "nearest"); }
std::vector<ValueId> convert_linear(Builder& b, const ForeignNode& n) { return convert(b, n, "linear"); }
std::vector<ValueId> convert_bilinear(Builder& b, const ForeignNode& n) { return convert(b, n, "bilinear"); }

// PyTorch's coordinates are those of half_pixel_centers for bilinear, of neither flag for nearest, and of align_corners for bilinear.
// The others agree with them only where the size stays or, for nearest, grows by an odd factor.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  const Sizes from = tfl_in::shape_of(b, node, x);
  const Ints size = tfl_in::constant_ints(b, node, 1);
  if (from.size() != 4 || size.size() != 2 || from[1] < 1 || from[2] < 1)
    refuse(node, fmt::format("'{}' of {}", node.target, text(to_shape(from))));
  const bool nearest = node.target == "RESIZE_NEAREST_NEIGHBOR", aligned = flag(node, "align_corners", false);
  const bool half = flag(node, "half_pixel_centers", false), stays = size[0] == from[1] && size[1] == from[2];
  const bool odd = size[0] % from[1] == 0 && size[1] % from[2] == 0 && size[0] / from[1] % 2 == 1 && size[1] / from[2] % 2 == 1;
  if (!stays && !(nearest ? !aligned && (!half || odd) : half || aligned))
    refuse(node, fmt::format("'{}' with align_corners={} half_pixel_centers={} counts coordinates in a way that PyTorch lacks", node.target,
                             aligned, half));
  const ValueId y = b("interpolate", {tfl_in::channels_first(b, x)},
                      {{"size", size}, {"mode", std::string(nearest ? "nearest" : "bilinear")}, {"align_corners", aligned && !nearest}});
  return {tfl_in::channels_last(b, y)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view interpolate_source = R"py(
def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """Resizes the spatial axes, one after the other."""
    axes = x.ndim - 2
    factors = (None,) * axes if scale_factor is None else each_axis(scale_factor, axes)
    sizes = None if size is None else each_axis(size, axes)
    for axis, factor in enumerate(factors, 2):
        length = x.shape[axis]
        count = int(length * factor) if size is None else sizes[axis - 2]
        step = length / count if factor is None else 1 / factor
        at = np.arange(count)
        if mode == "nearest":
            index = np.minimum(np.floor(at * np.float32(step)).astype(int), length - 1)
            x = jnp.take(x, index, axis=axis)
            continue
        if align_corners:
            places = at * ((length - 1) / max(count - 1, 1))
        else:
            places = np.maximum((at + 0.5) * step - 0.5, 0)
        low = np.minimum(np.floor(places).astype(int), length - 1)
        high = np.minimum(low + 1, length - 1)
        share = (places - low).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        first, second = jnp.take(x, low, axis=axis), jnp.take(x, high, axis=axis)
        x = first * (1 - share) + second * share
    return x
)py";

// F.interpolate has no word for a size and a scale together, and none for corners where it takes the nearest element.
void source_of_interpolate(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  const Node& node = *nodes[0];
  if (node.is_none("size") || node.is_none("scale_factor")) return;
  slot.torch_module = {};
  const bool flat = graph.type(node.inputs[0]).shape.size() == 3, nearest = node.string("mode") == "nearest";
  slot.torch = nearest ? flat ? "torch.ops.aten.upsample_nearest1d({x}, {size}, *{scale_factor})"
                              : "torch.ops.aten.upsample_nearest2d({x}, {size}, *{scale_factor})"
               : flat  ? "torch.ops.aten.upsample_linear1d({x}, {size}, {align_corners}, *{scale_factor})"
                       : "torch.ops.aten.upsample_bilinear2d({x}, {size}, {align_corners}, *{scale_factor})";
}

// ---- Keras ----------------------------------------------------------------------------------------------------------

// One axis from its taps: the elements below and above, each by its weight.
int keras_resized(KerasLowering& k, int x, int axis, const std::vector<Tap>& taps, Type& type) {
  const auto at = static_cast<std::size_t>(axis);
  std::vector<std::int32_t> low, high;
  std::vector<float> near, far;
  for (const Tap& tap : taps) {
    low.push_back(static_cast<std::int32_t>(tap.low)), high.push_back(static_cast<std::int32_t>(tap.high));
    near.push_back(1 - tap.weight), far.push_back(tap.weight);
  }
  const auto count = static_cast<std::int64_t>(taps.size());
  type.shape[at] = count;
  const auto take = [&](const std::vector<std::int32_t>& indices) {
    return k.add("ops.numpy.Take", {KerasRef{x}, KerasRef{k.constant(Tensor::from(indices, {count}))}}, type,
                 {{"axis", std::int64_t{axis}}});
  };
  const int first = take(low);
  if (std::all_of(far.begin(), far.end(), [](float w) { return w == 0; })) return first;
  Sizes sizes(type.shape.size(), 1);
  sizes[at] = count;
  return keras::binary(k, "Add", keras::binary(k, "Multiply", first, k.constant(Tensor::from(near, sizes)), type),
                       keras::binary(k, "Multiply", take(high), k.constant(Tensor::from(far, sizes)), type), type);
}

// Whole factors without aligned corners are the layer UpSampling.
void keras_interpolate(KerasLowering& k, const Node& node) {
  const ValueId out = node.outputs[0];
  Type type = keras::channels_last(k.graph.type(node.inputs[0]));
  const Type result = keras::channels_last(k.graph.type(out));
  const std::size_t axes = type.shape.size() - 2;
  int x = k.channels_last(node.inputs[0]);
  Ints factors;
  std::vector<std::vector<Tap>> taps;
  bool whole = !node.flag("align_corners");
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t from = type.shape[i + 1].size(), to = result.shape[i + 1].size();
    taps.push_back(taps_of(node, i, from, to));
    whole = whole && to % from == 0 && (!factor(node, i) || *factor(node, i) == static_cast<double>(to / from));
    factors.push_back(to / from);
  }
  const bool nearest = node.string("mode") == "nearest";
  if (whole && (nearest || axes == 2)) {
    std::vector<KerasEntry> config = {{"size", axes == 1 ? Attr(factors[0]) : Attr(factors)}};
    if (!nearest) config.push_back({"interpolation", std::string("bilinear")});
    x = k.add(keras::places(k, node, "UpSampling"), {KerasRef{x}}, result, config);
  } else {
    for (std::size_t i = 0; i < axes; ++i) x = keras_resized(k, x, static_cast<int>(i) + 1, taps[i], type);
  }
  k.give_channels_last(out, x);
}

// ---- ONNX ----

void lower_onnx(OnnxLowering& l, const Node& node) {
  const Shape &from = l.graph.type(node.inputs[0]).shape, &to = l.graph.type(node.outputs[0]).shape;
  const bool nearest = node.string("mode") == "nearest", aligned = node.flag("align_corners");
  Ints size;
  std::vector<float> scales = {1, 1};
  bool by_scale = !node.is_none("scale_factor");
  for (std::size_t i = 0; i < to.size(); ++i) size.push_back(to[i].known() ? to[i].size() : -1);
  for (std::size_t i = 2; i < to.size(); ++i) {
    by_scale = by_scale && to[i].known() && from[i].known();
    if (by_scale) scales.push_back(static_cast<float>(*factor(node, i - 2)));
    by_scale = by_scale && static_cast<std::int64_t>(std::floor(static_cast<float>(from[i].size()) * scales.back())) == to[i].size();
  }
  if (!by_scale && std::count(size.begin(), size.end(), -1)) l.refuse(node, "its sizes are open; give them with --dim NAME=SIZE");
  const int scale = by_scale ? l.constant(Tensor::from(scales, {static_cast<std::int64_t>(scales.size())}), "scales") : -1;
  l.give(node.outputs[0], l.add("Resize", {l[node.inputs[0]], -1, scale, by_scale ? -1 : l.ints(size, "sizes")},
                                {{"mode", std::string(nearest ? "nearest" : "linear")},
                                 {"nearest_mode", nearest ? Attr(std::string("floor")) : Attr(None{})},
                                 {"coordinate_transformation_mode", std::string(nearest   ? "asymmetric"
                                                                                : aligned ? "align_corners"
                                                                                          : "half_pixel")}}));
}

std::vector<ForeignMap> torch_maps() {
  std::vector<ForeignMap> maps = {{.target = "aten.upsample_nearest1d.vec", .convert = convert_nearest},
                                  {.target = "aten.upsample_nearest1d.default", .convert = convert_nearest},
                                  {.target = "aten.upsample_nearest2d.vec", .convert = convert_nearest},
                                  {.target = "aten.upsample_nearest2d.default", .convert = convert_nearest},
                                  {.target = "aten.upsample_linear1d.vec", .convert = convert_linear},
                                  {.target = "aten.upsample_linear1d.default", .convert = convert_linear},
                                  {.target = "aten.upsample_bilinear2d.vec", .convert = convert_bilinear},
                                  {.target = "aten.upsample_bilinear2d.default", .convert = convert_bilinear}};
  for (const ForeignMap& map : torch_resize::maps()) maps.push_back(map);
  return maps;
}

}  // namespace

OpList interpolate() {
  static const OpDef defs[] = {
      {.name = "interpolate",
       .doc = "Resizes the spatial axes to `size`, or by `scale_factor`. With both, size says how large and scale_factor where from.",
       .inputs = {{"x", "[N, C, L] or [N, C, H, W]"}},
       .attrs =
           {{.name = "size", .kind = AttrKind::ints, .fallback = None{}, .doc = "size of each spatial axis of the result", .or_none = true},
            {.name = "scale_factor", .kind = AttrKind::numbers, .fallback = None{}, .doc = "factor for each spatial axis", .or_none = true},
            {"mode", AttrKind::string, std::string("nearest"), "how values between elements are made", {"nearest", "linear", "bilinear"}},
            {"align_corners", AttrKind::boolean, false, "whether the corner elements stay corners"}},
       .infer = infer_interpolate,
       .eval = eval,
       .flops = flops,
       .layout = {LayoutRule::spatial},
       .torch = torch_maps(),
       .onnx = onnx_resize::maps(),
       .tflite_in = {{"RESIZE_BILINEAR", "", 0, convert_tflite}, {"RESIZE_NEAREST_NEIGHBOR", "", 0, convert_tflite}},
       .tflite = {.lower = lower},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_interpolate},
       .source = {.torch = "F.interpolate({x}, size={size?}, scale_factor={scale_factor!?}, mode={mode?}, align_corners={align_corners?})",
                  .jax = "interpolate({x}, size={size?}, scale_factor={scale_factor!?}, mode={mode?}, align_corners={align_corners?})",
                  .torch_module = "nn.Upsample(size={size?}, scale_factor={scale_factor!?}, mode={mode?}, align_corners={align_corners?})",
                  .jax_helpers = {jax::each_axis, interpolate_source}},
       .source_for = source_of_interpolate,
       .quant = {QuantRule::same_scale},
       .examples = {"interpolate(x: float32[1, 3, 4, 5], scale_factor: [2.0, 2.0])", "interpolate(x: float32[2, 3, 4, 5], size: [7, 3])",
                    "interpolate(x: float32[1, 2, 3, 5], scale_factor: 2.5)",
                    "interpolate(x: float32[1, 2, 5, 6], scale_factor: [1.7, 0.6])",
                    "interpolate(x: float32[1, 2, 5, 6], scale_factor: [2.0, 3.0], mode: bilinear)",
                    "interpolate(x: float32[1, 2, 5, 6], size: [9, 4], mode: bilinear, align_corners: true)",
                    "interpolate(x: float32[1, 2, 5, 6], size: [9, 4], mode: bilinear)",
                    "interpolate(x: float32[1, 2, 5, 6], scale_factor: [1.7, 0.6], mode: bilinear)",
                    "interpolate(x: float32[1, 3, 6], scale_factor: [2.5], mode: linear)", "interpolate(x: float32[1, 3, 6], size: [9])"}},
  };
  return defs;
}

}  // namespace wherry::ops
