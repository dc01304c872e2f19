// Pooling to a given output size: window i covers floor(i·in / out) up to ceil((i + 1)·in / out).
#include "ops/all_ops.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/source_helpers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace wherry::ops {

namespace {

struct Span {
  std::int64_t begin, size;
};

Span span_of(std::int64_t i, std::int64_t in, std::int64_t out) {
  const std::int64_t begin = i * in / out;
  return {begin, ((i + 1) * in + out - 1) / out - begin};
}

template <int spatial>
std::vector<Type> infer_adaptive(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "x", spatial + 2);
  Type out = t["x"];
  const Ints& size = infer::per_axis(t.node, "output_size", spatial);
  for (std::size_t i = 0; i < size.size(); ++i) {
    if (size[i] <= 0) infer::fault(fmt::format("output_size {} is not positive", text(Attr(size))));
    if (out.shape[i + 2] == Dim(0)) infer::fault(fmt::format("x is {}: an axis to be pooled is empty", text(out)));
    out.shape[i + 2] = size[i];
  }
  return {out};
}

// Calls each(plane, out, window rows, window columns) for every output element, planes being the N·C images.
template <class Each>
void over_windows(const Tensor& x, const Tensor& out, Each each) {
  const bool flat = x.rank() == 3;
  const std::int64_t height = flat ? 1 : x.sizes()[2], width = x.sizes().back();
  const std::int64_t out_height = flat ? 1 : out.sizes()[2], out_width = out.sizes().back();
  const float* plane = x.as<float>().data();
  std::int64_t at = 0;
  for (std::int64_t p = 0; p < x.sizes()[0] * x.sizes()[1]; ++p, plane += height * width)
    for (std::int64_t i = 0; i < out_height; ++i)
      for (std::int64_t j = 0; j < out_width; ++j) each(plane, width, at++, span_of(i, height, out_height), span_of(j, width, out_width));
}

void eval_average(OpValues& v) {
  const auto out = v.out().mutable_as<float>();
  over_windows(v["x"], v.out(), [&](const float* plane, std::int64_t width, std::int64_t at, Span rows, Span columns) {
    double sum = 0;
    for (std::int64_t y = rows.begin; y < rows.begin + rows.size; ++y)
      for (std::int64_t x = columns.begin; x < columns.begin + columns.size; ++x) sum += plane[y * width + x];
    out[static_cast<std::size_t>(at)] = static_cast<float>(sum / static_cast<double>(rows.size * columns.size));
  });
}

void eval_max(OpValues& v) {
  const auto out = v.out().mutable_as<float>();
  over_windows(v["x"], v.out(), [&](const float* plane, std::int64_t width, std::int64_t at, Span rows, Span columns) {
    float most = plane[rows.begin * width + columns.begin];
    for (std::int64_t y = rows.begin; y < rows.begin + rows.size; ++y)
      for (std::int64_t x = columns.begin; x < columns.begin + columns.size; ++x) {
        const float value = plane[y * width + x];
        if (value > most || std::isnan(value)) most = value;
      }
    out[static_cast<std::size_t>(at)] = most;
  });
}

double flops(const Graph& graph, const Node& node) { return static_cast<double>(known_count(graph.type(node.inputs[0]).shape)); }

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

struct Axes {
  int x;
  Type type;                          // channels last
  std::vector<std::int64_t> in, out;  // spatial sizes
};

Axes axes_of(TflLowering& t, const Node& node) {
  Axes a{t.channels_last(node.inputs[0]), tfl::channels_last(t.graph.type(node.inputs[0])), {}, node.ints("output_size")};
  for (std::size_t i = 0; i < a.out.size(); ++i) {
    const Dim& size = a.type.shape[i + 1];
    if (!size.known()) t.refuse(node, "its spatial sizes are symbolic; the target needs them as numbers");
    a.in.push_back(size.size());
  }
  return a;
}

bool divides(const Axes& a) {
  for (std::size_t i = 0; i < a.in.size(); ++i)
    if (a.in[i] % a.out[i] != 0) return false;
  return true;
}

// Equal windows: the target's own pooling.
void lower_even(TflLowering& t, const Node& node, const Axes& a, std::string_view builtin) {
  std::vector<Window> windows;
  for (std::size_t i = 0; i < a.in.size(); ++i) windows.push_back({.kernel = a.in[i] / a.out[i], .stride = a.in[i] / a.out[i]});
  const tfl::Framed in = tfl::frame(t, node, node.inputs[0], windows, {.merge = false});
  tfl::give_framed(t, node, t.add(builtin, {in.x}, tfl::framed_output(t.graph, node), tfl::pool_options(in)));
}

// Windows of unequal sizes: one axis after the other, each window sliced out and reduced by itself.
void lower_uneven(TflLowering& t, const Node& node, const Axes& a, std::string_view reduce) {
  int x = a.x;
  Type type = a.type;
  for (std::size_t i = 0; i < a.in.size(); ++i) {
    const int axis = static_cast<int>(i) + 1;
    std::vector<int> parts;
    Type part = type;
    part.shape[i + 1] = 1;
    for (std::int64_t o = 0; o < a.out[i]; ++o) {
      const Span span = span_of(o, a.in[i], a.out[i]);
      const int piece = tfl::slice(t, x, axis, span.begin, span.size, type);
      parts.push_back(span.size == 1 ? piece : t.add(reduce, {piece, tfl::int32s(t, {axis})}, part, {{"keep_dims", true}}));
    }
    type.shape[i + 1] = a.out[i];
    x = tfl::concatenate(t, parts, axis, type);
  }
  t.give_channels_last(node.outputs[0], x);
}

void lower_average(TflLowering& t, const Node& node) {
  const Axes a = axes_of(t, node);
  if (std::all_of(a.out.begin(), a.out.end(), [](std::int64_t size) { return size == 1; })) {
    std::vector<std::int64_t> axes;
    for (std::size_t i = 0; i < a.out.size(); ++i) axes.push_back(static_cast<std::int64_t>(i) + 1);
    t.give_channels_last(node.outputs[0], tfl::mean(t, a.x, axes, tfl::channels_last(t.graph.type(node.outputs[0]))));
  } else if (divides(a)) {
    lower_even(t, node, a, "AVERAGE_POOL_2D");
  } else {
    lower_uneven(t, node, a, "MEAN");
  }
}

void lower_max(TflLowering& t, const Node& node) {
  const Axes a = axes_of(t, node);
  divides(a) ? lower_even(t, node, a, "MAX_POOL_2D") : lower_uneven(t, node, a, "REDUCE_MAX");
}

// ---- PyTorch: three axes in operators of ours -----------------------------------------------------------------------

// The windows of one axis, sliced out and reduced one by one.
ValueId pooled_axis(Builder& b, ValueId x, std::int64_t axis, std::int64_t out, std::string_view reduce) {
  const std::int64_t in = b.type(x).shape[static_cast<std::size_t>(axis)].size();
  if (in == out) return x;
  std::vector<ValueId> parts;
  for (std::int64_t o = 0; o < out; ++o) {
    const Span span = span_of(o, in, out);
    const ValueId part = b("slice", {x}, {{"dim", axis}, {"start", span.begin}, {"end", span.begin + span.size}});
    parts.push_back(span.size == 1 ? part : b(reduce, {part}, {{"dim", Ints{axis}}, {"keepdim", true}}));
  }
  return parts.size() == 1 ? parts[0] : b("cat", parts, {{"dim", axis}});
}

ValueId pooled_3d(Builder& b, const ForeignNode& n, ValueId x, const Ints& size, bool average) {
  const std::string_view reduce = average ? "mean" : "amax";
  if (size == Ints{1, 1, 1}) return b(reduce, {x}, {{"dim", Ints{2, 3, 4}}, {"keepdim", true}});
  const Shape shape = b.type(x).shape;
  Ints window;
  bool divides = true;
  for (std::size_t i = 0; i < 3; ++i) {
    const Dim& in = shape[i + 2];
    if (!in.known() || in.size() < 1 || size[i] < 1)
      refuse(n, fmt::format("'{}' of {} to {}, expected sizes that are known", n.target, text(b.type(x)), text(Attr(size))));
    window.push_back(in.size() / size[i]);
    divides = divides && in.size() % size[i] == 0;
  }
  if (divides) return b(average ? "avg_pool3d" : "max_pool3d", {x}, {{"kernel_size", window}});
  for (std::size_t i = 0; i < 3; ++i) x = pooled_axis(b, x, static_cast<std::int64_t>(i) + 2, size[i], reduce);
  return x;
}

template <bool average>
std::vector<ValueId> convert_3d(Builder& b, const ForeignNode& n) {
  const ValueId x = n.value("self");
  Ints size = ints(n, "output_size");
  if (size.size() == 1) size.assign(3, size[0]);
  const std::size_t rank = b.type(x).shape.size();
  if (size.size() != 3 || (rank != 4 && rank != 5)) refuse(n, fmt::format("'{}' of {} to {}", n.target, text(b.type(x)), text(Attr(size))));
  if (rank == 5) return {pooled_3d(b, n, x, size, average)};
  const NamedAttr first{"dim", std::int64_t{0}};
  return {b("squeeze", {pooled_3d(b, n, b("unsqueeze", {x}, {first}), size, average)}, {first})};
}

std::vector<AttrDef> size_attr(AttrKind kind) { return {{"output_size", kind, {}, "size of the result along each axis"}}; }

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view adaptive_pool_source = R"py(
def adaptive_pool(x, output_size, reduce):
    """Windows over each axis, chosen so that the result has the given size."""
    for axis, count in enumerate(each_axis(output_size, x.ndim - 2), 2):
        size, parts = x.shape[axis], []
        for i in range(count):
            begin, end = i * size // count, -(-(i + 1) * size // count)
            window = jax.lax.slice_in_dim(x, begin, end, axis=axis)
            parts.append(reduce(window, axis=axis, keepdims=True))
        x = jnp.concatenate(parts, axis=axis)
    return x
)py";

// ---- Keras ----------------------------------------------------------------------------------------------------------

// One window over everything has a layer of its own, equal windows are the plain pooling.
void keras_adaptive(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type in = keras::channels_last(k.graph.type(x)), type = keras::channels_last(k.graph.type(out));
  const Ints& size = node.ints("output_size");
  const std::string kind = node.op->name.find("avg") != std::string_view::npos ? "Average" : "Max";
  Ints windows;
  bool even = true, one = true;
  for (std::size_t i = 0; i < size.size(); ++i) {
    const std::int64_t from = in.shape[i + 1].size();
    even = even && from % size[i] == 0;
    one = one && size[i] == 1;
    windows.push_back(from / size[i]);
  }
  const KerasValue from = KerasRef{k.channels_last(x)};
  const auto named = [&](const std::string& prefix) { return keras::places(k, node, prefix + kind + "Pooling"); };
  if (one) return k.give_channels_last(out, k.add(named("Global"), {from}, type, {{"keepdims", true}}));
  if (even) return k.give_channels_last(out, k.add(named(""), {from}, type, {{"pool_size", windows}, {"strides", windows}}));
  k.give_channels_last(out, k.add(named("Adaptive"), {from}, type, {{"output_size", size}}));
}

// ---- ONNX ----

// Over all places: the pooling to one, or a reduction where there are others than one or two axes.
template <bool average>
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const auto rank = onnx::rank(b, x);
  if (rank == 3) return {b(average ? "adaptive_avg_pool1d" : "adaptive_max_pool1d", {x}, {{"output_size", Ints{1}}})};
  if (rank == 4) return {b(average ? "adaptive_avg_pool2d" : "adaptive_max_pool2d", {x}, {{"output_size", Ints{1, 1}}})};
  Ints axes;
  for (std::int64_t i = 2; i < rank; ++i) axes.push_back(i);
  return {b(average ? "mean" : "amax", {x}, {{"dim", axes}, {"keepdim", true}})};
}

// One axis after the other, each window sliced out and reduced by itself.
int onnx_uneven(OnnxLowering& l, int x, std::string_view reduce, const Ints& in, const Ints& out) {
  for (std::size_t i = 0; i < in.size(); ++i) {
    const int axis = l.ints({static_cast<std::int64_t>(i) + 2}, "axis");
    std::vector<int> parts;
    for (std::int64_t o = 0; o < out[i]; ++o) {
      const Span span = span_of(o, in[i], out[i]);
      const int part = l.add("Slice", {x, l.ints({span.begin}, "start"), l.ints({span.begin + span.size}, "end"), axis});
      parts.push_back(l.opset < 18 ? l.add(reduce, {part}, {{"axes", Ints{static_cast<std::int64_t>(i) + 2}}})
                                   : l.add(reduce, {part, axis}));
    }
    x = l.add("Concat", parts, {{"axis", static_cast<std::int64_t>(i) + 2}});
  }
  return x;
}

template <bool average>
void lower_onnx(OnnxLowering& l, const Node& node) {
  const Shape& shape = l.graph.type(node.inputs[0]).shape;
  const Ints out = infer::per_axis(node, "output_size", static_cast<int>(shape.size()) - 2);
  const int x = l[node.inputs[0]];
  if (std::all_of(out.begin(), out.end(), [](std::int64_t size) { return size == 1; }))
    return l.give(node.outputs[0], l.add(average ? "GlobalAveragePool" : "GlobalMaxPool", {x}));
  Ints in, windows;
  bool divides = true;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!shape[i + 2].known()) l.refuse(node, fmt::format("its input is {}; give the open sizes with --dim NAME=SIZE", text(shape)));
    in.push_back(shape[i + 2].size());
    windows.push_back(in[i] / out[i]);
    divides = divides && in[i] % out[i] == 0;
  }
  if (divides)
    return l.give(node.outputs[0], l.add(average ? "AveragePool" : "MaxPool", {x}, {{"kernel_shape", windows}, {"strides", windows}}));
  l.give(node.outputs[0], onnx_uneven(l, x, average ? "ReduceMean" : "ReduceMax", in, out));
}

std::vector<ValueId> convert_keras(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  const std::size_t places = b.type(x).shape.size() - 2;
  const bool average = node.target.find("Average") != std::string::npos, global = node.target.starts_with("Global");
  const Ints size = global ? Ints(places, 1) : keras_in::per_axis(node, "output_size", places, 1);
  const std::string op = fmt::format("adaptive_{}_pool{}d", average ? "avg" : "max", places);
  const ValueId y = b(op, {tfl_in::channels_first(b, x)}, {{"output_size", size}});
  if (global && !flag(node, "keepdims", false)) return {b("flatten", {y}, {{"start_dim", std::int64_t{1}}})};
  return {tfl_in::channels_last(b, y)};
}

}  // namespace

OpList adaptive_pool() {
  static const OpDef defs[] = {
      {.name = "adaptive_avg_pool1d",
       .doc = "Averages over windows chosen so that the result has the given length.",
       .inputs = {{"x", "[N, C, L]"}},
       .attrs = size_attr(AttrKind::ints1),
       .infer = infer_adaptive<1>,
       .eval = eval_average,
       .flops = flops,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.adaptive_avg_pool1d.default", "x=self"}},
       .keras_in = {{"GlobalAveragePooling1D", "", 0, convert_keras}, {"AdaptiveAveragePooling1D", "", 0, convert_keras}},
       .tflite = {.lower = lower_average},
       .onnx_out = {.lower = lower_onnx<true>},
       .keras = {.lower = keras_adaptive},
       .source = {.torch = "F.adaptive_avg_pool1d({x}, {output_size})",
                  .jax = "adaptive_pool({x}, {output_size}, jnp.mean)",
                  .torch_module = "nn.AdaptiveAvgPool1d({output_size})",
                  .jax_helpers = {jax::each_axis, adaptive_pool_source}},
       .quant = {QuantRule::own_range},
       .examples = {"adaptive_avg_pool1d(x: float32[2, 3, 10], output_size: 4)", "adaptive_avg_pool1d(x: float32[1, 3, 8], output_size: 1)",
                    "adaptive_avg_pool1d(x: float32[1, 3, 8], output_size: 4)"}},
      {.name = "adaptive_avg_pool2d",
       .doc = "Averages over windows chosen so that the result has the given height and width.",
       .inputs = {{"x", "[N, C, H, W]"}},
       .attrs = size_attr(AttrKind::ints2),
       .infer = infer_adaptive<2>,
       .eval = eval_average,
       .flops = flops,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.adaptive_avg_pool2d.default", "x=self"},
                 {"aten._adaptive_avg_pool2d.default", "x=self"},
                 {.target = "aten.adaptive_avg_pool3d.default", .convert = convert_3d<true>},
                 {.target = "aten._adaptive_avg_pool3d.default", .convert = convert_3d<true>}},
       .onnx = {{.target = "GlobalAveragePool", .convert = convert_onnx<true>}},
       .keras_in = {{"GlobalAveragePooling2D", "", 0, convert_keras}, {"AdaptiveAveragePooling2D", "", 0, convert_keras}},
       .tflite = {.lower = lower_average},
       .onnx_out = {.lower = lower_onnx<true>},
       .keras = {.lower = keras_adaptive},
       .source = {.torch = "F.adaptive_avg_pool2d({x}, {output_size})",
                  .keras = "keras.layers.AdaptiveAveragePooling2D({output_size})({x})",
                  .jax = "adaptive_pool({x}, {output_size}, jnp.mean)",
                  .torch_module = "nn.AdaptiveAvgPool2d({output_size})",
                  .jax_helpers = {jax::each_axis, adaptive_pool_source}},
       .quant = {QuantRule::own_range},
       .examples = {"adaptive_avg_pool2d(x: float32[2, 3, 7, 7], output_size: 1)",
                    "adaptive_avg_pool2d(x: float32[1, 3, 8, 12], output_size: [4, 3])",
                    "adaptive_avg_pool2d(x: float32[1, 3, 7, 10], output_size: [3, 4])",
                    "adaptive_avg_pool2d(x: float32[1, 2, 3, 4], output_size: [5, 4])"}},
      {.name = "adaptive_max_pool1d",
       .doc = "The greatest element of windows chosen so that the result has the given length.",
       .inputs = {{"x", "[N, C, L]"}},
       .attrs = size_attr(AttrKind::ints1),
       .infer = infer_adaptive<1>,
       .eval = eval_max,
       .flops = flops,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.adaptive_max_pool1d.default", "x=self"}},
       .keras_in = {{"GlobalMaxPooling1D", "", 0, convert_keras}, {"AdaptiveMaxPooling1D", "", 0, convert_keras}},
       .tflite = {.lower = lower_max},
       .onnx_out = {.lower = lower_onnx<false>},
       .keras = {.lower = keras_adaptive},
       .source = {.torch = "F.adaptive_max_pool1d({x}, {output_size})",
                  .jax = "adaptive_pool({x}, {output_size}, jnp.max)",
                  .torch_module = "nn.AdaptiveMaxPool1d({output_size})",
                  .jax_helpers = {jax::each_axis, adaptive_pool_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"adaptive_max_pool1d(x: float32[2, 3, 10], output_size: 4)",
                    "adaptive_max_pool1d(x: float32[1, 3, 8], output_size: 2)"}},
      {.name = "adaptive_max_pool2d",
       .doc = "The greatest element of windows chosen so that the result has the given height and width.",
       .inputs = {{"x", "[N, C, H, W]"}},
       .attrs = size_attr(AttrKind::ints2),
       .infer = infer_adaptive<2>,
       .eval = eval_max,
       .flops = flops,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.adaptive_max_pool2d.default", "x=self"},
                 {.target = "aten.adaptive_max_pool3d.default", .convert = convert_3d<false>}},
       .onnx = {{.target = "GlobalMaxPool", .convert = convert_onnx<false>}},
       .keras_in = {{"GlobalMaxPooling2D", "", 0, convert_keras}, {"AdaptiveMaxPooling2D", "", 0, convert_keras}},
       .tflite = {.lower = lower_max},
       .onnx_out = {.lower = lower_onnx<false>},
       .keras = {.lower = keras_adaptive},
       .source = {.torch = "F.adaptive_max_pool2d({x}, {output_size})",
                  .keras = "keras.layers.AdaptiveMaxPooling2D({output_size})({x})",
                  .jax = "adaptive_pool({x}, {output_size}, jnp.max)",
                  .torch_module = "nn.AdaptiveMaxPool2d({output_size})",
                  .jax_helpers = {jax::each_axis, adaptive_pool_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"adaptive_max_pool2d(x: float32[2, 3, 8, 8], output_size: [2, 4])",
                    "adaptive_max_pool2d(x: float32[1, 3, 7, 10], output_size: [3, 4])"}},
  };
  return defs;
}

}  // namespace wherry::ops
