// Convolution over one, two and three axes.
#include "base/diagnostics.h"
#include "base/simd.h"
#include "ops/all_ops.h"
#include "ops/gemm.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/source_helpers.h"
#include "ops/spatial.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace wherry::ops {

namespace {

Ints kernel_of(const Shape& weight) {
  Ints kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) kernel.push_back(weight[i].size());
  return kernel;
}

bool positive_groups(const OpTypes& t) { return t.node.integer("groups") > 0; }

bool groups_divide_in(const OpTypes& t) {
  const Shape &x = t["x"].shape, &w = t["weight"].shape;
  return x.size() < 2 || w.size() < 2 || x[1] == w[1] * Dim(t.node.integer("groups"));
}

bool groups_divide_out(const OpTypes& t) {
  const Shape& w = t["weight"].shape;
  return w.empty() || !w[0].known() || w[0].size() % t.node.integer("groups") == 0;
}

template <int spatial>
std::vector<Type> infer_conv(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "x", spatial + 2);
  infer::needs_rank(t, "weight", spatial + 2);
  const Type &x = t["x"], &w = t["weight"];
  if (w.dtype != x.dtype) infer::fault(fmt::format("x is {} and weight {}", name(x.dtype), name(w.dtype)), "E502");
  if (!is_static(w.shape)) infer::fault(fmt::format("weight is {}; its sizes must be numbers", text(w)));
  infer::needs_vector(t, "bias", w.shape[0]);
  Type out{x.dtype, {x.shape[0], w.shape[0]}};
  const std::vector<Window> windows = infer::conv_windows(t.node, kernel_of(w.shape));
  for (std::size_t i = 0; i < windows.size(); ++i) out.shape.push_back(infer::slide(x.shape[i + 2], windows[i]));
  return {out};
}

// ---- eval -----------------------------------------------------------------------------------------------------------

struct Plane {
  std::int64_t channels, height, width;
  std::int64_t pixels() const { return height * width; }
};

// Columns of the matrix whose rows are (channel, kernel row, kernel column) and whose columns are output pixels.
PackColumns windows_of(const float* x, Plane in, std::int64_t out_width, Window v, Window h) {
  return [=](std::int64_t first, int count, float* panel) {
    std::array<std::int64_t, gemm_columns> top{}, left{};
    for (int j = 0; j < count; ++j) {
      top[static_cast<std::size_t>(j)] = (first + j) / out_width * v.stride - v.before;
      left[static_cast<std::size_t>(j)] = (first + j) % out_width * h.stride - h.before;
    }
    const auto last = static_cast<std::size_t>(count - 1);
    const bool one_row = h.stride == 1 && count == gemm_columns && top[0] == top[last] && left[last] == left[0] + gemm_columns - 1;
    for (std::int64_t c = 0; c < in.channels; ++c)
      for (std::int64_t kh = 0; kh < v.kernel; ++kh)
        for (std::int64_t kw = 0; kw < h.kernel; ++kw, panel += gemm_columns) {
          const float* plane = x + c * in.pixels();
          const std::int64_t down = kh * v.dilation, right = kw * h.dilation;
          if (one_row && top[0] + down >= 0 && top[0] + down < in.height && left[0] + right >= 0 && left[last] + right < in.width) {
            std::memcpy(panel, plane + (top[0] + down) * in.width + left[0] + right, gemm_columns * sizeof(float));
            continue;
          }
          for (std::size_t j = 0; j <= last; ++j) {
            const std::int64_t y = top[j] + down, xx = left[j] + right;
            panel[j] = y >= 0 && y < in.height && xx >= 0 && xx < in.width ? plane[y * in.width + xx] : 0;
          }
        }
  };
}

// One channel under one kernel: every tap adds a shifted row.
template <std::int64_t fixed_stride>
[[gnu::always_inline]] inline void depthwise_plane(const float* x, Plane in, const float* w, float bias, float* out, Plane to, Window v,
                                                   Window h) {
  const std::int64_t stride = fixed_stride ? fixed_stride : h.stride;
  for (std::int64_t oy = 0; oy < to.height; ++oy, out += to.width) {
    for (std::int64_t ox = 0; ox < to.width; ++ox) out[ox] = bias;
    for (std::int64_t kh = 0; kh < v.kernel; ++kh) {
      const std::int64_t y = oy * v.stride - v.before + kh * v.dilation;
      if (y < 0 || y >= in.height) continue;
      for (std::int64_t kw = 0; kw < h.kernel; ++kw) {
        const std::int64_t shift = kw * h.dilation - h.before;  // reads x[ox * stride + shift]
        const std::int64_t begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
        const std::int64_t end = shift >= in.width ? 0 : std::min(to.width, (in.width - 1 - shift) / stride + 1);
        const float* row = x + y * in.width;
        const float tap = w[kh * h.kernel + kw];
        for (std::int64_t ox = begin; ox < end; ++ox) out[ox] += tap * row[ox * stride + shift];
      }
    }
  }
}

void depthwise(const float* x, Plane in, const float* w, const float* bias, float* out, Plane to, Window v, Window h) {
  vectorised([&]() __attribute__((always_inline)) {
    const std::int64_t multiplier = to.channels / in.channels;
    for (std::int64_t c = 0; c < to.channels; ++c) {
      const float *plane = x + c / multiplier * in.pixels(), *taps = w + c * v.kernel * h.kernel;
      float* result = out + c * to.pixels();
      const float b = bias ? bias[c] : 0;
      if (h.stride == 1)
        depthwise_plane<1>(plane, in, taps, b, result, to, v, h);
      else if (h.stride == 2)
        depthwise_plane<2>(plane, in, taps, b, result, to, v, h);
      else
        depthwise_plane<0>(plane, in, taps, b, result, to, v, h);
    }
  });
}

void eval_conv(OpValues& values) {
  const Tensor &x = values["x"], &weight = values["weight"], &out = values.out();
  const Tensor* bias_values = values.find("bias");
  const bool flat = x.rank() == 3;  // one axis: a plane of height 1
  std::vector<Window> windows = infer::conv_windows(values.node, kernel_of(to_shape(weight.sizes())));
  if (flat) windows.insert(windows.begin(), Window{});
  const Window v = windows[0], h = windows[1];
  const Plane in{x.sizes()[1], flat ? 1 : x.sizes()[2], x.sizes().back()};
  const Plane to{out.sizes()[1], flat ? 1 : out.sizes()[2], out.sizes().back()};
  const std::int64_t groups = values.node.integer("groups");
  const Plane from{in.channels / groups, in.height, in.width};
  const std::int64_t depth = from.channels * v.kernel * h.kernel, rows = to.channels / groups;
  const float *source = x.as<float>().data(), *w = weight.as<float>().data();
  const float* bias = bias_values ? bias_values->as<float>().data() : nullptr;
  float* result = values.out().mutable_as<float>().data();
  const bool pointwise = v.extent() == 1 && h.extent() == 1 && v.stride == 1 && h.stride == 1 && in.pixels() == to.pixels();
  for (std::int64_t n = 0; n < x.sizes()[0]; ++n, source += in.channels * in.pixels(), result += to.channels * to.pixels()) {
    if (from.channels == 1 && groups > 1) {
      depthwise(source, in, w, bias, result, to, v, h);
      continue;
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      const float* part = source + g * from.channels * in.pixels();
      gemm(rows, to.pixels(), depth, w + g * rows * depth,
           pointwise ? columns_of(part, depth, to.pixels()) : windows_of(part, from, to.width, v, h), bias ? bias + g * rows : nullptr,
           result + g * rows * to.pixels());
    }
  }
}

// ---- three axes in two ----------------------------------------------------------------------------------------------

// `names` in another order, and perhaps of fewer axes: for a constant itself, so that it stays a weight.
ValueId rearranged(Builder& b, ValueId weight, const std::vector<int>& axes, const Sizes& shape, const std::string& path) {
  if (b.graph().is_constant(weight))
    return b.constant(b.graph()[weight].constant->permuted(axes).reshaped(shape), fmt::format("{}.weight", path));
  const ValueId turned = b("permute", {weight}, {{"dims", Ints(axes.begin(), axes.end())}});
  return b("reshape", {turned}, {{"shape", Ints(shape)}});
}

// What lies under the window along the first axis becomes channels: [N, C, D, H, W] → [N · D', C · kernel, H, W].
std::vector<ValueId> expand_conv3d(Builder& b, const Node& node) {
  const Sizes w = sizes(b.type(node.inputs[1]).shape);
  const std::vector<Window> windows = infer::conv_windows(node, kernel_of(to_shape(w)));
  const Window& deep = windows[0];
  const Dim depth = b.type(node.outputs[0]).shape[2];
  if (!depth.known())
    fail({.code = "E504",
          .message = fmt::format("conv3d needs a size for its first axis, not {}", depth.text()),
          .at = node.where(),
          .next = "give each dimension a size with --dim NAME=SIZE"});
  ValueId x = node.inputs[0];
  if (deep.before != 0 || deep.after != 0) x = b("pad", {x}, {{"pad", Ints{0, 0, 0, 0, deep.before, deep.after}}});
  std::vector<ValueId> parts;
  for (std::int64_t k = 0; k < deep.kernel; ++k) {
    const std::int64_t from = k * deep.dilation, to = from + (depth.size() - 1) * deep.stride + 1;
    parts.push_back(b("slice", {x}, {{"dim", std::int64_t{2}}, {"start", from}, {"end", to}, {"step", deep.stride}}));
  }
  const bool whole = node.integer("groups") == 1;
  const std::vector<int> order = whole ? std::vector{0, 2, 1, 3, 4} : std::vector{0, 1, 2, 3, 4};
  const ValueId weight = rearranged(b, node.inputs[1], order, {w[0], w[1] * w[2], w[3], w[4]}, node.path);
  ValueId y = parts[0];
  if (parts.size() > 1 && whole) y = b("cat", parts, {{"dim", std::int64_t{1}}});
  if (parts.size() > 1 && !whole)
    y = b("flatten", {b("stack", parts, {{"dim", std::int64_t{2}}})}, {{"start_dim", std::int64_t{1}}, {"end_dim", std::int64_t{2}}});
  const Ints swap = {0, 2, 1, 3, 4};
  y = b("flatten", {b("permute", {y}, {{"dims", swap}})}, {{"start_dim", std::int64_t{0}}, {"end_dim", std::int64_t{1}}});
  y = b("conv2d", {y, weight, node.inputs[2]},
        {{"stride", Ints{windows[1].stride, windows[2].stride}},
         {"padding", Ints{windows[1].before, windows[1].after, windows[2].before, windows[2].after}},
         {"dilation", Ints{windows[1].dilation, windows[2].dilation}},
         {"groups", node.integer("groups")}});
  y = b("unflatten", {y}, {{"dim", std::int64_t{0}}, {"sizes", Ints{-1, depth.size()}}});
  return {b("permute", {y}, {{"dims", swap}})};
}

double flops(const Graph& graph, const Node& node) {
  const Shape& w = input_type(graph, node, "weight").shape;
  return static_cast<double>(known_count(graph.type(node.outputs[0]).shape)) * static_cast<double>(known_count(w)) /
         static_cast<double>(std::max<std::int64_t>(known_count({w[0]}), 1));
}

// ---- hyperparameters ------------------------------------------------------------------------------------------------

std::vector<Shape> parameters(const Hyper& hyper, const Node& node) {
  const std::int64_t groups = std::max<std::int64_t>(node.integer("groups"), 1);
  Shape weight = {hyper_int(hyper, "out"), hyper_int(hyper, "in") / groups};
  for (const std::int64_t k : hyper_ints(hyper, "kernel_size")) weight.emplace_back(k);
  return {weight, hyper_flag(hyper, "bias", true) ? Shape{hyper_int(hyper, "out")} : left_out()};
}

Hyper hyper_of(const Graph& graph, const Node& node) {
  const Shape& w = input_type(graph, node, "weight").shape;
  return {
      {"in", w[1].size() * node.integer("groups")}, {"out", w[0].size()}, {"kernel_size", kernel_of(w)}, {"bias", has_input(node, "bias")}};
}

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

void lower(TflLowering& t, const Node& node) {
  Tensor w = tfl::weight(t, node, "weight");
  const tfl::Framed in = tfl::frame(t, node, node.inputs[0], infer::conv_windows(node, kernel_of(to_shape(w.sizes()))));
  const std::int64_t out_channels = w.sizes()[0], groups = node.integer("groups");
  if (w.rank() == 3) w = w.reshaped({w.sizes()[0], w.sizes()[1], 1, w.sizes()[2]});
  const bool depthwise = w.sizes()[1] == 1 && groups > 1;
  const std::string& name = t.graph[node.inputs[1]].name;
  const int filter = t.constant(depthwise ? w.permuted({1, 2, 3, 0}) : w.permuted({0, 2, 3, 1}), name);
  const int bias = has_input(node, "bias") ? t.constant(tfl::weight(t, node, "bias"), t.graph[node.inputs[2]].name)
                                           : t.constant(Tensor::allocate(w.dtype(), {out_channels}), node.path + ".bias");
  std::vector<TflOption> options = {{"padding", std::string(in.padding)},
                                    {"stride_w", in.windows[1].stride},
                                    {"stride_h", in.windows[0].stride},
                                    {"dilation_w_factor", in.windows[1].dilation},
                                    {"dilation_h_factor", in.windows[0].dilation},
                                    {"fused_activation_function", "NONE"}};
  if (depthwise) options.push_back({"depth_multiplier", out_channels / groups});
  tfl::give_framed(t, node,
                   t.add(depthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D", {in.x, filter, bias}, tfl::framed_output(t.graph, node), options));
}

// A kernel is [places…, in / groups, out], a depthwise one [places…, in, out / in].
std::vector<ValueId> convert_keras(Builder& b, const ForeignNode& node) {
  const bool depthwise = node.target.starts_with("Depthwise");
  const ValueId x = tfl_in::input(node, 0), kernel = keras_in::variable(node, 0);
  const Sizes window = tfl_in::shape_of(b, node, kernel), in = tfl_in::shape_of(b, node, x);
  const std::size_t places = window.size() - 2;
  const Ints size(window.begin(), window.end() - 2);
  const Ints stride = keras_in::per_axis(node, "strides", places, 1), dilation = keras_in::per_axis(node, "dilation_rate", places, 1);
  const auto sides = keras_in::sides(b, node, x, size, stride, dilation);
  Ints padding, axes;
  const ValueId first = keras_in::padded(b, tfl_in::channels_first(b, x), sides, 0, padding);
  const auto last = static_cast<std::int64_t>(window.size()) - 1;
  axes = depthwise ? Ints{last - 1, last} : Ints{last, last - 1};
  for (std::size_t i = 0; i < places; ++i) axes.push_back(static_cast<std::int64_t>(i));
  ValueId weight = tfl_in::permuted(b, kernel, axes);
  if (depthwise) {
    Sizes flat = {in.back() * window.back(), 1};
    flat.insert(flat.end(), size.begin(), size.end());
    weight = tfl_in::reshaped(b, weight, flat);
  }
  const std::int64_t groups = depthwise ? in.back() : in.back() / window[places];
  const ValueId y = b(fmt::format("conv{}d", places), {first, weight, keras_in::variable(node, 1)},
                      {{"stride", stride}, {"padding", padding}, {"dilation", dilation}, {"groups", groups}});
  return {tfl_in::channels_last(b, y)};
}

// ---- Keras ----------------------------------------------------------------------------------------------------------

// Keras takes no stride together with a dilation: then every place is computed and the strided ones are kept.
void keras_conv(KerasLowering& k, const Node& node) {
  const Sizes w = sizes(k.graph.type(node.inputs[1]).shape);
  const Ints kernel = kernel_of(to_shape(w));
  std::vector<Window> windows = infer::conv_windows(node, kernel);
  const keras::Padded in = keras::pad(k, node, node.inputs[0], windows, {.strided = true});
  Type type = keras::channels_last(k.graph.type(node.outputs[0]));
  const Ints steps = keras::strides(windows);
  const bool strided = std::any_of(windows.begin(), windows.end(), [](const Window& x) { return x.stride > 1; });
  const bool dilated = std::any_of(windows.begin(), windows.end(), [](const Window& x) { return x.dilation > 1; });
  if (strided && dilated)
    for (std::size_t i = 0; i < windows.size(); ++i) {
      windows[i].stride = 1;
      type.shape[i + 1] = in.type.shape[i + 1] - Dim(windows[i].extent() - 1);
    }
  const std::int64_t groups = node.integer("groups");
  const bool even = std::all_of(windows.begin(), windows.end(), [&](const Window& x) { return x.stride == windows[0].stride; });
  const bool depthwise = w[1] == 1 && groups > 1 && even && windows.size() < 3;  // TensorFlow's depthwise kernel takes one stride
  std::vector<KerasWeight> weights;
  std::vector<KerasEntry> config;
  if (depthwise) {
    Sizes view = w;
    view[0] = groups, view[1] = w[0] / groups;
    weights.push_back(k.weight(node, "weight", "kernel", windows.size() == 1 ? std::vector{2, 0, 1} : std::vector{2, 3, 0, 1}, view));
    config.push_back({"depth_multiplier", view[1], "$out // $groups", std::int64_t{1}});
  } else {
    weights.push_back(k.weight(node, "weight", "kernel", keras::places_first(windows.size())));
    config.push_back({"filters", w[0], "$out"});
  }
  const Ints ones(windows.size(), 1);
  config.push_back({"kernel_size", kernel, "$kernel_size"});
  config.push_back({"strides", keras::strides(windows), "$stride", ones});
  config.push_back({"padding", in.padding, "'same' if $stride == 1 else 'valid'", std::string("valid"), in.either});
  config.push_back({"dilation_rate", keras::dilations(windows), "$dilation", ones});
  if (!depthwise) config.push_back({"groups", groups, "$groups", std::int64_t{1}});
  config.push_back({"use_bias", has_input(node, "bias"), "$bias", true});
  if (has_input(node, "bias")) weights.push_back(k.weight(node, "bias", "bias"));
  int out = k.add(keras::places(k, node, depthwise ? "DepthwiseConv" : "Conv"), {KerasRef{in.x}}, type, config, weights);
  if (windows.size() < 3) k.only_when(out, depthwise ? "$groups == $in" : "$groups != $in");
  if (strided && dilated)
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const std::int64_t size = k.graph.type(node.outputs[0]).shape[i + 2].size();
      out = keras::slice(k, out, static_cast<int>(i) + 1, 0, size, type, steps[i]);
      type.shape[i + 1] = size;
    }
  k.give_channels_last(node.outputs[0], out);
}

std::vector<Input> conv_inputs() {
  return {
      {"x", "[N, C, spatial…]"}, {"weight", "[out, in / groups, kernel…]", Role::parameter}, {"bias", "[out]", Role::optional_parameter}};
}

std::vector<AttrDef> conv_attrs(AttrKind kind, std::size_t axes) {
  return {{"stride", kind, Ints(axes, 1), "step of the window along each axis"},
          {"padding",
           kind,
           Ints(axes, 0),
           "zeros on both sides of each axis, or before and after for each, or a word",
           {"same", "valid"},
           true},
          {"dilation", kind, Ints(axes, 1), "distance between the window's elements"},
          {"groups", AttrKind::integer, std::int64_t{1}, "channels are split into so many parts that do not mix"}};
}

std::vector<HyperDef> conv_hyper(AttrKind kind) {
  return {{"in", AttrKind::integer, {}, "channels that go in"},
          {"out", AttrKind::integer, {}, "channels that come out"},
          {"kernel_size", kind, {}, "size of the window"},
          {"bias", AttrKind::boolean, true, "whether a learned offset is added"}};
}

std::vector<Rule> conv_rules() {
  return {{"groups > 0", positive_groups},
          {"x.shape[1] == weight.shape[1] * groups", groups_divide_in},
          {"weight.shape[0] divisible by groups", groups_divide_out}};
}

// A filter is [out, h, w, in / groups], a depthwise one [1, h, w, out].
template <bool depthwise>
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::channels_first(b, tfl_in::input(node, 0)), filter = tfl_in::input(node, 1);
  const Sizes in = tfl_in::shape_of(b, node, tfl_in::input(node, 0)), window = tfl_in::shape_of(b, node, filter);
  if (in.size() != 4 || window.size() != 4 || window[3] < 1 || (!depthwise && in[3] % window[3] != 0))
    refuse(node, fmt::format("'{}' of {} under {}", node.target, text(to_shape(in)), text(to_shape(window))));
  const ValueId weight = tfl_in::permuted(b, filter, depthwise ? Ints{3, 0, 1, 2} : Ints{0, 3, 1, 2});
  const Ints padding = tfl_in::padding(tfl_in::sides(node, in, window[1], window[2]));
  const ValueId y = b("conv2d", {x, weight, tfl_in::has(node, 2) ? tfl_in::input(node, 2) : absent},
                      {{"stride", Ints{integer(node, "stride_h", 1), integer(node, "stride_w", 1)}},
                       {"padding", padding},
                       {"dilation", Ints{integer(node, "dilation_h_factor", 1), integer(node, "dilation_w_factor", 1)}},
                       {"groups", depthwise ? in[3] : in[3] / window[3]}});
  return {tfl_in::channels_last(b, y)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view conv_source = R"py(
def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """A convolution as PyTorch's: channels first, zeros given by number or by word."""
    axes = weight.ndim - 2
    letters = "DHW"[-axes:]
    y = jax.lax.conv_general_dilated(
        x,
        weight,
        each_axis(stride, axes),
        padding.upper() if isinstance(padding, str) else sides(padding, axes),
        rhs_dilation=each_axis(dilation, axes),
        dimension_numbers=("NC" + letters, "OI" + letters, "NC" + letters),
        feature_group_count=groups,
    )
    return shifted(y, bias)
)py";

constexpr std::string_view conv_init_source = R"py(
def conv_init(key, in_channels, out_channels, kernel_size, axes, groups=1, bias=True):
    """The weights of conv."""
    kernel = each_axis(kernel_size, axes)
    fan_in = in_channels // groups * math.prod(kernel)
    keys = jax.random.split(key)
    shape = (out_channels, in_channels // groups, *kernel)
    params = {"weight": uniform(keys[0], shape, fan_in)}
    if bias:
        params["bias"] = uniform(keys[1], (out_channels,), fan_in)
    return params
)py";

constexpr std::string_view padded_conv1d_source = R"py(
class PaddedConv1d(nn.Conv1d):
    """A convolution with zeros of its own before and behind the axis."""

    def __init__(self, *args, padding, **kwargs):
        self.edges = padding if isinstance(padding, tuple) else (padding, padding)
        super().__init__(*args, **kwargs)

    def forward(self, x):
        return super().forward(F.pad(x, self.edges))
)py";

constexpr std::string_view padded_conv2d_source = R"py(
class PaddedConv2d(nn.Conv2d):
    """A convolution that may have zeros of its own on each side."""

    def __init__(self, *args, padding, **kwargs):
        uneven = isinstance(padding, tuple) and len(padding) == 4
        super().__init__(*args, padding=0 if uneven else padding, **kwargs)
        self.edges = padding[2:] + padding[:2] if uneven else None

    def forward(self, x):
        return super().forward(F.pad(x, self.edges) if self.edges else x)
)py";

constexpr std::string_view padded_conv3d_source = R"py(
class PaddedConv3d(nn.Conv3d):
    """A convolution that may have zeros of its own on each side."""

    def __init__(self, *args, padding, **kwargs):
        uneven = isinstance(padding, tuple) and len(padding) == 6
        super().__init__(*args, padding=0 if uneven else padding, **kwargs)
        self.edges = padding[4:] + padding[2:4] + padding[:2] if uneven else None

    def forward(self, x):
        return super().forward(F.pad(x, self.edges) if self.edges else x)
)py";

// Zeros for each end are more than torch.nn's convolutions take.
template <std::size_t axes>
void source_of_conv(SourceSlot& slot, const Graph&, std::span<const Node* const> nodes) {
  const bool ends = std::any_of(nodes.begin(), nodes.end(), [](const Node* node) {
    const Ints* padding = std::get_if<Ints>(&node->attr("padding"));
    return padding && padding->size() == 2 * axes;
  });
  if (!ends) return;
  constexpr std::string_view helpers[] = {padded_conv1d_source, padded_conv2d_source, padded_conv3d_source};
  constexpr std::string_view modules[] = {
      "PaddedConv1d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding}, "
      "dilation={dilation?}, groups={groups?}, bias={bias?})",
      "PaddedConv2d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding}, "
      "dilation={dilation?}, groups={groups?}, bias={bias?})",
      "PaddedConv3d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding}, "
      "dilation={dilation?}, groups={groups?}, bias={bias?})"};
  constexpr std::string_view calls[] = {
      "F.conv1d(F.pad({x}, {padding}), {weight}, {bias}, stride={stride?}, dilation={dilation?}, groups={groups?})",
      "F.conv2d(F.pad({x}, {padding}[2:] + {padding}[:2]), {weight}, {bias}, stride={stride?}, dilation={dilation?}, groups={groups?})",
      "F.conv3d(F.pad({x}, {padding}[4:] + {padding}[2:4] + {padding}[:2]), {weight}, {bias}, stride={stride?}, dilation={dilation?}, "
      "groups={groups?})"};
  slot.torch_helpers = {helpers[axes - 1]};
  slot.torch_module = modules[axes - 1];
  slot.torch = calls[axes - 1];
}

// ---- ONNX ----

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), w = onnx::required(n, 1);
  const Shape shape = b.type(w).shape;
  if (shape.size() < 3 || shape.size() > 5)
    refuse(n, fmt::format("'Conv' over {} axes is not known, only 1, 2 and 3", static_cast<int>(shape.size()) - 2));
  const std::size_t axes = shape.size() - 2;
  Ints kernel;
  for (std::size_t i = 2; i < shape.size(); ++i) kernel.push_back(shape[i].size());
  const Ints stride = ints(n, "strides", Ints(axes, 1)), dilation = ints(n, "dilations", Ints(axes, 1));
  if (stride.size() != axes || dilation.size() != axes) refuse(n, "'Conv' has strides or dilations of the wrong number");
  Ints even, ends;
  for (const auto& [before, after] : onnx::padding(b, n, kernel, stride, dilation)) {
    even.push_back(before);
    ends.insert(ends.end(), {before, after});
  }
  bool symmetric = true;
  for (std::size_t i = 0; i < axes; ++i) symmetric = symmetric && ends[2 * i] == ends[2 * i + 1];
  return {b(fmt::format("conv{}d", axes), {x, w, onnx::in(n, 2)},
            {{"stride", stride}, {"padding", symmetric ? even : ends}, {"dilation", dilation}, {"groups", integer(n, "group", 1)}})};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const Shape& w = l.graph.type(node.inputs[1]).shape;
  Ints kernel, before, after;
  for (std::size_t i = 2; i < w.size(); ++i) kernel.push_back(w[i].size());
  for (const auto& [b, a] :
       infer::padding(node.attr("padding"), static_cast<int>(kernel.size()), kernel, node.ints("stride"), node.ints("dilation")))
    before.push_back(b), after.push_back(a);
  before.insert(before.end(), after.begin(), after.end());
  l.give(node.outputs[0], l.add("Conv", {l[node.inputs[0]], l[node.inputs[1]], has_input(node, "bias") ? l[node.inputs[2]] : -1},
                                {{"kernel_shape", kernel},
                                 {"strides", node.attr("stride")},
                                 {"pads", before},
                                 {"dilations", node.attr("dilation")},
                                 {"group", node.attr("groups")}}));
}

}  // namespace

OpList conv() {
  static const OpDef defs[] = {
      {.name = "conv1d",
       .doc = "Convolution over one axis. Each output channel is the sum of its group's input channels under a learned window.",
       .inputs = conv_inputs(),
       .attrs = conv_attrs(AttrKind::ints1, 1),
       .hyper = conv_hyper(AttrKind::ints1),
       .rules = conv_rules(),
       .infer = infer_conv<1>,
       .eval = eval_conv,
       .flops = flops,
       .parameters = parameters,
       .hyper_of = hyper_of,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.conv1d.default", "x=input"}, {"aten.conv1d.padding", "x=input"}},
       .keras_in = {{"Conv1D", "", 0, convert_keras}, {"DepthwiseConv1D", "", 0, convert_keras}},
       .tflite = {.lower = lower},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_conv},
       .source = {.torch = "F.conv1d({x}, {weight}, {bias}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .keras = "keras.ops.conv({x}, {weight}, strides={stride}, dilation_rate={dilation})",
                  .jax = "conv({x}, {parameters}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .torch_module = "nn.Conv1d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, "
                                  "groups={groups?}, bias={bias?})",
                  .jax_init = "conv_init({key}, {in}, {out}, {kernel_size}, axes=1, groups={groups?}, bias={bias?})",
                  .jax_helpers = {jax::each_axis, jax::sides, jax::uniform, jax::shifted, conv_source, conv_init_source}},
       .source_for = source_of_conv<1>,
       .quant = {QuantRule::weighted},
       .examples = {"conv1d(x: float32[2, 3, 16], in: 3, out: 5, kernel_size: 3, stride: 2, padding: 1)",
                    "conv1d(x: float32[1, 4, 17], in: 4, out: 8, kernel_size: 3, dilation: 2, groups: 4, bias: false)",
                    "conv1d(x: float32[1, 4, 9], in: 4, out: 6, kernel_size: 4, padding: same, groups: 2)"}},
      {.name = "conv2d",
       .doc = "Convolution over two axes. Each output channel is the sum of its group's input channels under a learned window.",
       .inputs = conv_inputs(),
       .attrs = conv_attrs(AttrKind::ints2, 2),
       .hyper = conv_hyper(AttrKind::ints2),
       .rules = conv_rules(),
       .infer = infer_conv<2>,
       .eval = eval_conv,
       .flops = flops,
       .parameters = parameters,
       .hyper_of = hyper_of,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.conv2d.default", "x=input"}, {"aten.conv2d.padding", "x=input"}},
       .onnx = {{.target = "Conv", .convert = convert_onnx}},
       .tflite_in = {{"CONV_2D", "", 0, convert_tflite<false>}, {"DEPTHWISE_CONV_2D", "", 0, convert_tflite<true>}},
       .keras_in = {{"Conv2D", "", 0, convert_keras}, {"DepthwiseConv2D", "", 0, convert_keras}},
       .tflite = {.lower = lower},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_conv},
       .source = {.torch = "F.conv2d({x}, {weight}, {bias}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .keras = "keras.ops.conv({x}, {weight}, strides={stride}, dilation_rate={dilation})",
                  .jax = "conv({x}, {parameters}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .torch_module = "nn.Conv2d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, "
                                  "groups={groups?}, bias={bias?})",
                  .jax_init = "conv_init({key}, {in}, {out}, {kernel_size}, axes=2, groups={groups?}, bias={bias?})",
                  .jax_helpers = {jax::each_axis, jax::sides, jax::uniform, jax::shifted, conv_source, conv_init_source}},
       .source_for = source_of_conv<2>,
       .quant = {QuantRule::weighted},
       .examples = {"conv2d(x: float32[1, 3, 8, 8], in: 3, out: 4, kernel_size: 3, padding: 1)",
                    "conv2d(x: float32[2, 3, 9, 12], in: 3, out: 5, kernel_size: [3, 5], stride: 2, padding: [1, 2], bias: false)",
                    "conv2d(x: float32[1, 6, 10, 10], in: 6, out: 6, kernel_size: 3, stride: 2, padding: 1, groups: 6)",
                    "conv2d(x: float32[1, 4, 11, 9], in: 4, out: 8, kernel_size: 5, padding: 2, groups: 4)",
                    "conv2d(x: float32[1, 6, 9, 9], in: 6, out: 4, kernel_size: 3, dilation: [2, 1], padding: [2, 1], groups: 2)",
                    "conv2d(x: float32[1, 3, 7, 8], in: 3, out: 4, kernel_size: [2, 3], stride: [2, 3], padding: 1)",
                    "conv2d(x: float32[1, 3, 8, 8], in: 3, out: 4, kernel_size: [4, 3], padding: same)",
                    "conv2d(x: float32[1, 3, 8, 8], in: 3, out: 4, kernel_size: 3, stride: 2, padding: [0, 1, 0, 1])",
                    "conv2d(x: float32[1, 8, 5, 5], in: 8, out: 16, kernel_size: 1)"}},
      {.name = "conv3d",
       .doc = "Convolution over three axes. Each output channel is the sum of its group's input channels under a learned window.",
       .inputs = conv_inputs(),
       .attrs = conv_attrs(AttrKind::ints3, 3),
       .hyper = conv_hyper(AttrKind::ints3),
       .rules = conv_rules(),
       .infer = infer_conv<3>,
       .expand = expand_conv3d,
       .flops = flops,
       .parameters = parameters,
       .hyper_of = hyper_of,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.conv3d.default", "x=input"}, {"aten.conv3d.padding", "x=input"}},
       .keras_in = {{"Conv3D", "", 0, convert_keras}},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_conv},
       .source = {.torch = "F.conv3d({x}, {weight}, {bias}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .keras = "keras.ops.conv({x}, {weight}, strides={stride}, dilation_rate={dilation})",
                  .jax = "conv({x}, {parameters}, stride={stride?}, padding={padding?}, dilation={dilation?}, groups={groups?})",
                  .torch_module = "nn.Conv3d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, "
                                  "groups={groups?}, bias={bias?})",
                  .jax_init = "conv_init({key}, {in}, {out}, {kernel_size}, axes=3, groups={groups?}, bias={bias?})",
                  .jax_helpers = {jax::each_axis, jax::sides, jax::uniform, jax::shifted, conv_source, conv_init_source}},
       .source_for = source_of_conv<3>,
       .quant = {QuantRule::weighted},
       .examples = {"conv3d(x: float32[1, 3, 5, 6, 7], in: 3, out: 4, kernel_size: 3, padding: 1)",
                    "conv3d(x: float32[2, 4, 6, 7, 5], in: 4, out: 6, kernel_size: [2, 3, 1], stride: [2, 1, 2], groups: 2, bias: false)",
                    "conv3d(x: float32[1, 4, 7, 6, 6], in: 4, out: 4, kernel_size: 2, dilation: [3, 2, 1], padding: [0, 1, 1, 0, 0, 1])"}},
  };
  return defs;
}

}  // namespace wherry::ops
