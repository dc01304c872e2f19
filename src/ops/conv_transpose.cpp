// Transposed convolution over one, two and three axes.
#include "base/diagnostics.h"
#include "ops/all_ops.h"
#include "ops/gemm.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/source_helpers.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace wherry::ops {

namespace {

Ints kernel_of(const Shape& weight) {
  Ints kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) kernel.push_back(weight[i].size());
  return kernel;
}

// The windows that scatter; `after` is the output's own extra size.
std::vector<Window> windows_of(const Node& node, const Ints& kernel) {
  const int n = static_cast<int>(kernel.size());
  const Ints &stride = infer::per_axis(node, "stride", n), &dilation = infer::per_axis(node, "dilation", n);
  const Ints &padding = infer::per_axis(node, "padding", n), &extra = infer::per_axis(node, "output_padding", n);
  infer::bounded("kernel size", kernel);
  std::vector<Window> out;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    if (kernel[i] <= 0 || stride[i] <= 0 || dilation[i] <= 0)
      infer::fault(fmt::format("kernel_size {}, stride {} and dilation {} must be positive", kernel[i], stride[i], dilation[i]));
    if (padding[i] < 0 || extra[i] < 0)
      infer::fault(fmt::format("padding {} and output_padding {} must not be negative", padding[i], extra[i]));
    if (extra[i] >= std::max(stride[i], dilation[i]))
      infer::fault(fmt::format("output_padding {} must be smaller than stride {} or dilation {}", extra[i], stride[i], dilation[i]));
    out.push_back({kernel[i], stride[i], dilation[i], padding[i], extra[i]});
  }
  return out;
}

bool positive_groups(const OpTypes& t) { return t.node.integer("groups") > 0; }

bool channels_fit(const OpTypes& t) {
  const Shape &x = t["x"].shape, &w = t["weight"].shape;
  return x.size() < 2 || w.empty() || x[1] == w[0];
}

bool groups_divide(const OpTypes& t) {
  const Shape& w = t["weight"].shape;
  return w.empty() || !w[0].known() || w[0].size() % t.node.integer("groups") == 0;
}

template <int spatial>
std::vector<Type> infer_transposed(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "x", spatial + 2);
  infer::needs_rank(t, "weight", spatial + 2);
  const Type &x = t["x"], &w = t["weight"];
  if (w.dtype != x.dtype) infer::fault(fmt::format("x is {} and weight {}", name(x.dtype), name(w.dtype)), "E502");
  if (!is_static(w.shape)) infer::fault(fmt::format("weight is {}; its sizes must be numbers", text(w)));
  const Dim channels = w.shape[1] * Dim(t.node.integer("groups"));
  infer::needs_vector(t, "bias", channels);
  Type out{x.dtype, {x.shape[0], channels}};
  const std::vector<Window> windows = windows_of(t.node, kernel_of(w.shape));
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const Window& v = windows[i];
    out.shape.push_back((x.shape[i + 2] - Dim(1)) * Dim(v.stride) + Dim(v.extent() + v.after - 2 * v.before));
    if (out.shape.back().known() && out.shape.back().size() <= 0) infer::fault(fmt::format("padding {} leaves no output", v.before));
  }
  return {out};
}

// [channels, places] of one group, scattered: what each input element adds under the kernel.
void scatter(const float* columns, const Sizes& in, std::int64_t channels, const Window& v, const Window& h, float* out, const Sizes& to) {
  for (std::int64_t c = 0; c < channels; ++c, out += to[0] * to[1])
    for (std::int64_t kh = 0; kh < v.kernel; ++kh)
      for (std::int64_t kw = 0; kw < h.kernel; ++kw)
        for (std::int64_t i = 0; i < in[0]; ++i, columns += in[1]) {
          const std::int64_t y = i * v.stride - v.before + kh * v.dilation;
          if (y < 0 || y >= to[0]) continue;
          for (std::int64_t j = 0; j < in[1]; ++j) {
            const std::int64_t x = j * h.stride - h.before + kw * h.dilation;
            if (x >= 0 && x < to[1]) out[y * to[1] + x] += columns[j];
          }
        }
}

void eval(OpValues& values) {
  const Tensor &x = values["x"], &weight = values["weight"];
  const bool flat = x.rank() == 3;
  std::vector<Window> windows = windows_of(values.node, kernel_of(to_shape(weight.sizes())));
  if (flat) windows.insert(windows.begin(), Window{});
  const auto plane = [&](const Sizes& s) { return flat ? Sizes{1, s[2]} : Sizes{s[2], s[3]}; };
  const Sizes in = plane(x.sizes()), to = plane(values.out().sizes());
  const std::int64_t groups = values.node.integer("groups"), depth = x.sizes()[1] / groups, channels = weight.sizes()[1];
  const std::int64_t rows = channels * windows[0].kernel * windows[1].kernel, pixels = in[0] * in[1], out_pixels = to[0] * to[1];
  // [groups, rows, depth]: the weight with input channels last.
  const Tensor turned = weight.reshaped({groups, depth, rows}).permuted({0, 2, 1}).contiguous();
  const auto out = values.out().mutable_as<float>();
  if (const Tensor* bias = values.find("bias"))
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = bias->as<float>()[i / static_cast<std::size_t>(out_pixels) % static_cast<std::size_t>(channels * groups)];
  std::vector<float> columns(static_cast<std::size_t>(rows * pixels));
  for (std::int64_t n = 0; n < x.sizes()[0]; ++n)
    for (std::int64_t g = 0; g < groups; ++g) {
      const float* from = x.as<float>().data() + (n * groups + g) * depth * pixels;
      gemm(rows, pixels, depth, turned.as<float>().data() + g * rows * depth, columns_of(from, depth, pixels), nullptr, columns.data());
      scatter(columns.data(), in, channels, windows[0], windows[1], out.data() + (n * groups + g) * channels * out_pixels, to);
    }
}

// ---- three axes in two ----------------------------------------------------------------------------------------------

// x with `step - 1` zeros between the positions of axis 2.
ValueId spread(Builder& b, ValueId x, std::int64_t step) {
  if (step == 1) return x;
  const Shape shape = b.type(x).shape;
  const auto merged = [&](ValueId v, std::int64_t from) { return b("flatten", {v}, {{"start_dim", from}, {"end_dim", from + 1}}); };
  ValueId y = b("unsqueeze", {merged(x, 0)}, {{"dim", std::int64_t{2}}});
  y = merged(b("pad", {y}, {{"pad", Ints{0, 0, 0, 0, 0, step - 1}}}), 1);
  y = b("unflatten", {y}, {{"dim", std::int64_t{0}}, {"sizes", Ints{-1, shape[1].size()}}});
  return b("slice", {y}, {{"dim", std::int64_t{2}}, {"end", (shape[2].size() - 1) * step + 1}});
}

// Each position of the first axis by itself, with the window's layers as channels; the layers are then added where they belong.
std::vector<ValueId> expand_transposed3d(Builder& b, const Node& node) {
  const ValueId w = node.inputs[1];
  const Sizes s = sizes(b.type(w).shape);
  const std::vector<Window> windows = windows_of(node, kernel_of(to_shape(s)));
  const Window& deep = windows[0];
  const Dim in = b.type(node.inputs[0]).shape[2], out = b.type(node.outputs[0]).shape[2];
  if (!in.known())
    fail({.code = "E504",
          .message = fmt::format("conv_transpose3d needs a size for its first axis, not {}", in.text()),
          .at = node.where(),
          .next = "give each dimension a size with --dim NAME=SIZE"});
  const Ints swap = {0, 2, 1, 3, 4}, flat = {s[0], s[1] * s[2], s[3], s[4]};
  const ValueId weight = b.graph().is_constant(w) ? b.constant(b.graph()[w].constant->reshaped(flat), node.path + ".weight")
                                                  : b("reshape", {w}, {{"shape", flat}});
  ValueId y = b("permute", {node.inputs[0]}, {{"dims", swap}});
  y = b("flatten", {y}, {{"start_dim", std::int64_t{0}}, {"end_dim", std::int64_t{1}}});
  y = b("conv_transpose2d", {y, weight},
        {{"stride", Ints{windows[1].stride, windows[2].stride}},
         {"padding", Ints{windows[1].before, windows[2].before}},
         {"output_padding", Ints{windows[1].after, windows[2].after}},
         {"groups", node.integer("groups")},
         {"dilation", Ints{windows[1].dilation, windows[2].dilation}}});
  y = b("permute", {b("unflatten", {y}, {{"dim", std::int64_t{0}}, {"sizes", Ints{-1, in.size()}}})}, {{"dims", swap}});
  const std::int64_t span = (in.size() - 1) * deep.stride + 1, full = span + deep.extent() - 1 + deep.after;
  ValueId sum = absent;
  for (std::int64_t k = 0; k < deep.kernel; ++k) {
    const ValueId layer = spread(b, b("slice", {y}, {{"dim", std::int64_t{1}}, {"start", k}, {"step", deep.kernel}}), deep.stride);
    const std::int64_t before = k * deep.dilation;
    const ValueId placed = b("pad", {layer}, {{"pad", Ints{0, 0, 0, 0, before, full - span - before}}});
    sum = sum == absent ? placed : b("add", {sum, placed});
  }
  sum = b("slice", {sum}, {{"dim", std::int64_t{2}}, {"start", deep.before}, {"end", deep.before + out.size()}});
  if (!has_input(node, "bias")) return {sum};
  return {b("add", {sum, b("reshape", {node.inputs[2]}, {{"shape", Ints{-1, 1, 1, 1}}})})};
}

double flops(const Graph& graph, const Node& node) {
  const Shape& w = input_type(graph, node, "weight").shape;
  return static_cast<double>(known_count(graph.type(node.inputs[0]).shape)) * static_cast<double>(known_count(w)) /
         static_cast<double>(std::max<std::int64_t>(known_count({w[0]}), 1));
}

std::vector<Shape> parameters(const Hyper& hyper, const Node& node) {
  const std::int64_t groups = std::max<std::int64_t>(node.integer("groups"), 1);
  Shape weight = {hyper_int(hyper, "in"), hyper_int(hyper, "out") / groups};
  for (const std::int64_t k : hyper_ints(hyper, "kernel_size")) weight.emplace_back(k);
  return {weight, hyper_flag(hyper, "bias", true) ? Shape{hyper_int(hyper, "out")} : left_out()};
}

Hyper hyper_of(const Graph& graph, const Node& node) {
  const Shape& w = input_type(graph, node, "weight").shape;
  return {
      {"in", w[0].size()}, {"out", w[1].size() * node.integer("groups")}, {"kernel_size", kernel_of(w)}, {"bias", has_input(node, "bias")}};
}

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

// Input channels [first, first + count) of a [in, out, kh, kw] weight as the target's filter [out, kh, kw, in], with zeros
// between the elements of a dilated window.
Tensor filter_of(const Tensor& weight, std::int64_t first, std::int64_t count, const Window& v, const Window& h) {
  const Sizes& s = weight.sizes();
  if (first == 0 && count == s[0] && v.extent() == v.kernel && h.extent() == h.kernel) return weight.permuted({1, 2, 3, 0});
  Tensor filter = Tensor::allocate(DType::float32, {s[1], v.extent(), h.extent(), count});
  const Tensor source = weight.contiguous();
  const auto from = source.as<float>();
  const auto to = filter.mutable_as<float>();
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t o = 0; o < s[1]; ++o)
      for (std::int64_t y = 0; y < v.kernel; ++y)
        for (std::int64_t x = 0; x < h.kernel; ++x)
          to[static_cast<std::size_t>(((o * v.extent() + y * v.dilation) * h.extent() + x * h.dilation) * count + i)] =
              from[static_cast<std::size_t>((((first + i) * s[1] + o) * v.kernel + y) * h.kernel + x)];
  return filter;
}

// Along one axis: how the target's operator comes to PyTorch's output.
struct Axis {
  std::int64_t full;   // what the operator is asked for …
  std::int64_t begin;  // … and where the wanted part begins
  bool same;           // its SAME is PyTorch's padding
};

Axis axis_of(const Window& w, std::int64_t in, std::int64_t out) {
  const std::int64_t span = (in - 1) * w.stride + w.extent(), cut = std::max<std::int64_t>(span - out, 0);
  const bool same = (out + w.stride - 1) / w.stride == in && cut / 2 == w.before && span >= out;
  return {std::max(span, w.before + out), w.before, same};
}

void lower(TflLowering& t, const Node& node) {
  Tensor w = tfl::weight(t, node, "weight");
  std::vector<Window> windows = windows_of(node, kernel_of(to_shape(w.sizes())));
  if (w.rank() == 3) {
    w = w.reshaped({w.sizes()[0], w.sizes()[1], 1, w.sizes()[2]});
    windows.insert(windows.begin(), Window{});
  }
  Type in = tfl::channels_last(t.graph.type(node.inputs[0]));
  int x = t.channels_last(node.inputs[0]);
  if (in.shape.size() == 3) {
    in.shape.insert(in.shape.begin() + 1, Dim(1));
    x = tfl::reshape(t, x, in);
  }
  const Type out = tfl::framed_output(t.graph, node);
  const Axis v = axis_of(windows[0], in.shape[1].size(), out.shape[1].size()),
             h = axis_of(windows[1], in.shape[2].size(), out.shape[2].size());
  const bool same = v.same && h.same;
  const std::int64_t groups = node.integer("groups"), depth = w.sizes()[0] / groups, channels = w.sizes()[1];
  Type part = out;
  part.shape[3] = channels;
  if (!same) part.shape[1] = v.full, part.shape[2] = h.full;
  const Tensor bias = has_input(node, "bias") ? tfl::weight(t, node, "bias") : Tensor::allocate(DType::float32, {channels * groups});
  const std::vector<float> offsets = bias.to_floats();
  std::vector<int> parts;
  for (std::int64_t g = 0; g < groups; ++g) {
    const int from = tfl::slice(t, x, 3, g * depth, depth, in);
    const int filter = t.constant(filter_of(w, g * depth, depth, windows[0], windows[1]), t.graph[node.inputs[1]].name);
    const std::vector<float> own(offsets.begin() + g * channels, offsets.begin() + (g + 1) * channels);
    const int offset = t.constant(Tensor::from(own, {channels}), node.path + ".bias");
    parts.push_back(t.add("TRANSPOSE_CONV", {tfl::int32s(t, sizes(part.shape)), filter, from, offset}, part,
                          {{"padding", same ? "SAME" : "VALID"}, {"stride_w", windows[1].stride}, {"stride_h", windows[0].stride}}));
  }
  part.shape[3] = out.shape[3];
  int y = tfl::concatenate(t, parts, 3, part);
  for (const auto& [axis, cut] : {std::pair(1, v), std::pair(2, h)}) {
    const auto at = static_cast<std::size_t>(axis);
    y = tfl::slice(t, y, axis, same ? 0 : cut.begin, out.shape[at].size(), part);
    part.shape[at] = out.shape[at];
  }
  tfl::give_framed(t, node, y);
}

// Inputs: the output's shape, the filter [out, h, w, in], x, perhaps a bias. The output is the middle of the full one.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const Ints shape = tfl_in::constant_ints(b, node, 0);
  const Sizes in = tfl_in::shape_of(b, node, tfl_in::input(node, 2)), window = tfl_in::shape_of(b, node, tfl_in::input(node, 1));
  if (shape.size() != 4 || in.size() != 4 || window.size() != 4) refuse(node, "TRANSPOSE_CONV wants tensors of rank 4");
  const Ints stride = {integer(node, "stride_h", 1), integer(node, "stride_w", 1)};
  const bool same = word(node, "padding", "SAME") == "SAME";
  Ints before(2), behind(2), beyond(2);  // cut off the full output, or added where no window reaches
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t total = (in[i + 1] - 1) * stride[i] + window[i + 1] - shape[i + 1];
    beyond[i] = std::max<std::int64_t>(-total, 0);
    before[i] = same ? std::max<std::int64_t>(total, 0) / 2 : 0;
    behind[i] = std::max<std::int64_t>(total, 0) - before[i];
  }
  const bool even = before == behind;
  const ValueId x = tfl_in::channels_first(b, tfl_in::input(node, 2)), weight = tfl_in::permuted(b, tfl_in::input(node, 1), {3, 0, 1, 2});
  ValueId y = b("conv_transpose2d", {x, weight, tfl_in::has(node, 3) ? tfl_in::input(node, 3) : absent},
                {{"stride", stride}, {"padding", even ? before : Ints{0, 0}}, {"output_padding", beyond}});
  if (!even) y = b("pad", {y}, {{"pad", Ints{-before[1], -behind[1], -before[0], -behind[0]}}});
  return {tfl_in::channels_last(b, y)};
}

constexpr std::string_view conv_transpose_source = R"py(
def conv_transpose(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
):
    """The transpose of a convolution as PyTorch's, channels first."""
    axes = weight.ndim - 2
    letters = "DHW"[-axes:]
    padding, more = each_axis(padding, axes), each_axis(output_padding, axes)
    dilation = each_axis(dilation, axes)
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    ends = [(r - p, r - p + m) for r, p, m in zip(reach, padding, more, strict=True)]
    weight = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    weight = jnp.flip(weight.reshape(-1, *weight.shape[2:]), range(2, axes + 2))
    y = jax.lax.conv_general_dilated(
        x,
        weight,
        (1,) * axes,
        ends,
        lhs_dilation=each_axis(stride, axes),
        rhs_dilation=dilation,
        dimension_numbers=("NC" + letters, "OI" + letters, "NC" + letters),
        feature_group_count=groups,
    )
    return shifted(y, bias)
)py";

constexpr std::string_view conv_transpose_init_source = R"py(
def conv_transpose_init(key, inputs, outputs, kernel_size, axes, groups=1, bias=True):
    """The weights of conv_transpose."""
    kernel = each_axis(kernel_size, axes)
    fan_in = outputs // groups * math.prod(kernel)
    keys = jax.random.split(key)
    shape = (inputs, outputs // groups, *kernel)
    params = {"weight": uniform(keys[0], shape, fan_in)}
    if bias:
        params["bias"] = uniform(keys[1], (outputs,), fan_in)
    return params
)py";

// ---- Keras ----------------------------------------------------------------------------------------------------------

// A layer for each group, side by side; `whole` is the type of the result.
int keras_groups(KerasLowering& k, const Node& node, int x, const Type& in, const Type& whole, const std::vector<Window>& windows) {
  const Sizes w = sizes(k.graph.type(node.inputs[1]).shape);
  Type part = whole;
  const std::int64_t groups = node.integer("groups"), depth = w[0] / groups, channels = w[1];
  const auto last = static_cast<int>(windows.size()) + 1;
  part.shape.back() = channels;
  std::vector<int> parts;
  for (std::int64_t g = 0; g < groups; ++g) {
    Sizes one = w;
    one[0] = depth;
    KerasWeight kernel = k.weight(node, "weight", "kernel", {}, {});
    const std::vector<int> axes = keras::places_first(windows.size());
    const auto piece = [&](const Tensor& all, const Sizes& sizes) {
      Tensor copy = all.contiguous();
      const std::size_t bytes = static_cast<std::size_t>(element_count(sizes)) * byte_size(copy.dtype());
      Tensor cut = Tensor::allocate(copy.dtype(), sizes);
      std::memcpy(cut.mutable_data(), copy.data() + static_cast<std::size_t>(g) * bytes, bytes);
      return cut;
    };
    kernel = {"kernel", piece(kernel.value, one).permuted(axes), kernel.source, one, axes, g, groups};
    std::vector<KerasWeight> weights = {kernel};
    if (has_input(node, "bias")) {
      KerasWeight bias = k.weight(node, "bias", "bias", {}, {});
      weights.push_back({"bias", piece(bias.value, {channels}), bias.source, {channels}, {0}, g, groups});
    }
    const int from = keras::slice(k, x, last, g * depth, depth, in);
    std::vector<KerasEntry> config = {
        {"filters", channels}, {"kernel_size", keras::kernels(windows)}, {"strides", keras::strides(windows)}};
    if (keras::dilations(windows) != Ints(windows.size(), 1)) config.push_back({"dilation_rate", keras::dilations(windows)});
    if (weights.size() == 1) config.push_back({"use_bias", false});
    const std::string layer = fmt::format("Conv{}DTranspose", windows.size());
    parts.push_back(k.add(layer, {KerasRef{from}}, part, config, weights));
  }
  return keras::concatenate(k, parts, last, whole);
}

constexpr std::string_view keras_grouped_source = R"py(
class GroupedConvTranspose(layers.Layer):
    """A transposed convolution of channels in groups that do not mix."""

    def __init__(self, filters, window, groups, strides, dilation_rate, **kwargs):
        self.use_bias = kwargs.pop("use_bias", True)
        super().__init__(**kwargs)
        self.filters, self.window, self.groups = filters, window, groups
        self.options = {"strides": strides, "dilation_rate": dilation_rate}

    def build(self, input_shape):
        shape = (*self.window, self.filters // self.groups, input_shape[-1])
        self.kernel = self.add_weight(shape, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, x):
        images = ops.split(x, self.groups, axis=-1)
        kernels = ops.split(self.kernel, self.groups, axis=-1)
        pairs = zip(images, kernels, strict=True)
        y = [ops.conv_transpose(a, b, **self.options) for a, b in pairs]
        y = ops.concatenate(y, axis=-1)
        return y + self.bias if self.use_bias else y
)py";

// The same as one layer of the file's own.
int keras_grouped(KerasLowering& k, const Node& node, int x, const Type& whole, const std::vector<Window>& windows) {
  const std::vector<int> axes = keras::places_first(windows.size());
  std::vector<KerasWeight> weights = {k.weight(node, "weight", "kernel", axes)};
  if (has_input(node, "bias")) weights.push_back(k.weight(node, "bias", "bias"));
  const int y = k.add("GroupedConvTranspose", {KerasRef{x}}, whole,
                      {{"filters", whole.shape.back().size(), "$out"},
                       {"window", keras::kernels(windows)},
                       {"groups", node.integer("groups"), "$groups"},
                       {"strides", keras::strides(windows), "$stride"},
                       {"dilation_rate", keras::dilations(windows), "$dilation"},
                       {"use_bias", weights.size() == 2, "$bias", true}},
                      weights);
  k.define(y, keras_grouped_source);
  return y;
}

// The layer's whole result, cut to what the padding leaves; one more element before the input's end where the result is longer.
void keras_transposed(KerasLowering& k, const Node& node) {
  const Sizes w = sizes(k.graph.type(node.inputs[1]).shape);
  const std::vector<Window> windows = windows_of(node, kernel_of(to_shape(w)));
  const Type out = keras::channels_last(k.graph.type(node.outputs[0]));
  Type in = keras::channels_last(k.graph.type(node.inputs[0]));
  int x = k.channels_last(node.inputs[0]);
  const auto more = [&](std::int64_t Window::*which) {
    return std::any_of(windows.begin(), windows.end(), [&](const Window& v) { return v.*which > 1; });
  };
  if (more(&Window::stride) && more(&Window::dilation)) k.refuse(node, "Keras takes no stride together with a dilation");
  std::vector<Ints> longer;
  Type part = out;
  bool lengthen = false;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const Window& v = windows[i];
    const std::int64_t beyond = std::max<std::int64_t>(v.extent() - v.stride, 0), needed = v.before + out.shape[i + 1].size();
    const std::int64_t size = in.shape[i + 1].size();
    const std::int64_t extra = std::max<std::int64_t>((needed - size * v.stride - beyond + v.stride - 1) / v.stride, 0);
    longer.push_back({0, extra});
    lengthen = lengthen || extra > 0;
    in.shape[i + 1] = size + extra;
    part.shape[i + 1] = (size + extra) * v.stride + beyond;
  }
  if (lengthen)
    x = k.add(keras::places(k, node, "ZeroPadding"), {KerasRef{x}}, in,
              {{"padding", longer.size() == 1 ? KerasValue(Attr(longer[0])) : KerasValue(longer)}});
  const bool grouped = k.as_code() && node.integer("groups") > 1;
  int y = grouped ? keras_grouped(k, node, x, part, windows) : keras_groups(k, node, x, in, part, windows);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    y = keras::slice(k, y, static_cast<int>(i) + 1, windows[i].before, out.shape[i + 1].size(), part);
    part.shape[i + 1] = out.shape[i + 1];
  }
  k.give_channels_last(node.outputs[0], y);
}

// ---- ONNX ----

// What is cut off before and behind each axis, and added behind.
struct OnnxEnds {
  Ints before, after, extra;
};

OnnxEnds onnx_ends(Builder& b, const ForeignNode& n, const Ints& kernel, const Ints& stride, const Ints& dilation) {
  const std::size_t axes = kernel.size();
  OnnxEnds ends{Ints(axes, 0), Ints(axes, 0), ints(n, "output_padding", Ints(axes, 0))};
  const std::string mode = word(n, "auto_pad", "NOTSET");
  Ints shape = ints(n, "output_shape", Ints{});
  if (shape.size() > axes) shape.erase(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(axes));
  if (shape.empty() && mode.starts_with("SAME")) {
    const Sizes in = onnx::static_shape(b, n, onnx::required(n, 0));
    for (std::size_t i = 0; i < axes; ++i) shape.push_back(in[i + 2] * stride[i]);
  }
  if (shape.empty()) {
    const Ints pads = ints(n, "pads", Ints(2 * axes, 0));
    if (pads.size() != 2 * axes) refuse(n, fmt::format("'ConvTranspose' has {} pads for {} axes", pads.size(), axes));
    ends.before.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
    ends.after.assign(pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end());
    return ends;
  }
  const Sizes in = onnx::static_shape(b, n, onnx::required(n, 0));
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t whole = stride[i] * (in[i + 2] - 1) + ends.extra[i] + dilation[i] * (kernel[i] - 1) + 1, cut = whole - shape[i];
    if (cut < 0) {
      ends.extra[i] -= cut;
      continue;
    }
    const std::int64_t half = cut / 2;
    ends.before[i] = mode == "SAME_UPPER" ? half : cut - half;
    ends.after[i] = cut - ends.before[i];
  }
  return ends;
}

// Uneven ends are cut off the whole result.
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), w = onnx::required(n, 1);
  const Shape shape = b.type(w).shape;
  if (shape.size() < 3 || shape.size() > 5)
    refuse(n, fmt::format("'ConvTranspose' over {} axes is not known, only 1, 2 and 3", static_cast<int>(shape.size()) - 2));
  const std::size_t axes = shape.size() - 2;
  Ints kernel;
  for (std::size_t i = 2; i < shape.size(); ++i) kernel.push_back(shape[i].size());
  const Ints stride = ints(n, "strides", Ints(axes, 1)), dilation = ints(n, "dilations", Ints(axes, 1));
  if (stride.size() != axes || dilation.size() != axes) refuse(n, "'ConvTranspose' has strides or dilations of the wrong number");
  const OnnxEnds ends = onnx_ends(b, n, kernel, stride, dilation);
  const bool even = ends.before == ends.after;
  const ValueId y = b(fmt::format("conv_transpose{}d", axes), {x, w, onnx::in(n, 2)},
                      {{"stride", stride},
                       {"padding", even ? ends.before : Ints(axes, 0)},
                       {"output_padding", ends.extra},
                       {"groups", integer(n, "group", 1)},
                       {"dilation", dilation}});
  if (even) return {y};
  Ints cut;
  for (std::size_t i = axes; i-- > 0;) cut.insert(cut.end(), {-ends.before[i], -ends.after[i]});
  return {b("pad", {y}, {{"pad", cut}})};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const Shape& w = l.graph.type(node.inputs[1]).shape;
  Ints kernel, pads = node.ints("padding");
  for (std::size_t i = 2; i < w.size(); ++i) kernel.push_back(w[i].size());
  pads.insert(pads.end(), node.ints("padding").begin(), node.ints("padding").end());
  l.give(node.outputs[0], l.add("ConvTranspose", {l[node.inputs[0]], l[node.inputs[1]], has_input(node, "bias") ? l[node.inputs[2]] : -1},
                                {{"kernel_shape", kernel},
                                 {"strides", node.attr("stride")},
                                 {"pads", pads},
                                 {"output_padding", node.attr("output_padding")},
                                 {"dilations", node.attr("dilation")},
                                 {"group", node.attr("groups")}}));
}

OpDef transposed(std::string_view name, std::size_t axes, ForeignMap map) {
  constexpr AttrKind kinds[] = {AttrKind::ints1, AttrKind::ints2, AttrKind::ints3};
  constexpr InferFn infers[] = {infer_transposed<1>, infer_transposed<2>, infer_transposed<3>};
  constexpr std::string_view calls[] = {
      "F.conv_transpose1d({x}, {weight}, {bias}, {stride}, {padding}, {output_padding}, {groups}, {dilation})",
      "F.conv_transpose2d({x}, {weight}, {bias}, {stride}, {padding}, {output_padding}, {groups}, {dilation})",
      "F.conv_transpose3d({x}, {weight}, {bias}, {stride}, {padding}, {output_padding}, {groups}, {dilation})"};
  constexpr std::string_view modules[] = {
      "nn.ConvTranspose1d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, "
      "output_padding={output_padding?}, groups={groups?}, bias={bias?}, dilation={dilation?})",
      "nn.ConvTranspose2d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, "
      "output_padding={output_padding?}, groups={groups?}, bias={bias?}, dilation={dilation?})",
      "nn.ConvTranspose3d({in}, {out}, {kernel_size}, stride={stride?}, padding={padding?}, "
      "output_padding={output_padding?}, groups={groups?}, bias={bias?}, dilation={dilation?})"};
  constexpr std::string_view inits[] = {"conv_transpose_init({key}, {in}, {out}, {kernel_size}, axes=1, groups={groups?}, bias={bias?})",
                                        "conv_transpose_init({key}, {in}, {out}, {kernel_size}, axes=2, groups={groups?}, bias={bias?})",
                                        "conv_transpose_init({key}, {in}, {out}, {kernel_size}, axes=3, groups={groups?}, bias={bias?})"};
  const AttrKind kind = kinds[axes - 1];
  return {.name = name,
          .doc = "The transpose of a convolution. Each input element adds the learned window, scaled by it, to the output.",
          .inputs = {{"x", "[N, C, spatial…]"},
                     {"weight", "[in, out / groups, kernel…]", Role::parameter},
                     {"bias", "[out]", Role::optional_parameter}},
          .attrs = {{"stride", kind, Ints(axes, 1), "distance between the places where windows are added"},
                    {"padding", kind, Ints(axes, 0), "cut off both sides of each axis of the output"},
                    {"output_padding", kind, Ints(axes, 0), "added behind each axis of the output"},
                    {"groups", AttrKind::integer, std::int64_t{1}, "channels are split into so many parts that do not mix"},
                    {"dilation", kind, Ints(axes, 1), "distance between the window's elements"}},
          .hyper = {{"in", AttrKind::integer, {}, "channels that go in"},
                    {"out", AttrKind::integer, {}, "channels that come out"},
                    {"kernel_size", kind, {}, "size of the window"},
                    {"bias", AttrKind::boolean, true, "whether a learned offset is added"}},
          .rules = {{"groups > 0", positive_groups},
                    {"x.shape[1] == weight.shape[0]", channels_fit},
                    {"weight.shape[0] divisible by groups", groups_divide}},
          .infer = infers[axes - 1],
          .eval = axes < 3 ? eval : nullptr,
          .expand = axes < 3 ? nullptr : expand_transposed3d,
          .flops = flops,
          .parameters = parameters,
          .hyper_of = hyper_of,
          .layout = {LayoutRule::spatial},
          .torch = {map},
          .tflite = {.lower = axes < 3 ? lower : nullptr},
          .onnx_out = {.lower = lower_onnx},
          .keras = {.lower = keras_transposed},
          .source = {.torch = calls[axes - 1],
                     .jax = "conv_transpose({x}, {parameters}, stride={stride?}, padding={padding?}, output_padding={output_padding?}, "
                            "groups={groups?}, dilation={dilation?})",
                     .torch_module = modules[axes - 1],
                     .jax_init = inits[axes - 1],
                     .jax_helpers = {jax::each_axis, jax::uniform, jax::shifted, conv_transpose_source, conv_transpose_init_source}},
          .quant = {QuantRule::weighted}};
}

std::vector<OpDef> all() {
  std::vector<OpDef> defs = {transposed("conv_transpose1d", 1, {"aten.conv_transpose1d.default", "x=input"}),
                             transposed("conv_transpose2d", 2, {"aten.conv_transpose2d.input", "x=input"}),
                             transposed("conv_transpose3d", 3, {"aten.conv_transpose3d.input", "x=input"})};
  defs[1].tflite_in = {{"TRANSPOSE_CONV", "", 0, convert_tflite}};
  defs[1].onnx = {{.target = "ConvTranspose", .convert = convert_onnx}};
  defs[0].examples = {"conv_transpose1d(x: float32[2, 3, 7], in: 3, out: 4, kernel_size: 3, stride: 2, padding: 1, output_padding: 1)",
                      "conv_transpose1d(x: float32[1, 4, 5], in: 4, out: 4, kernel_size: 4, stride: 2, padding: 1, groups: 2)"};
  defs[1].examples = {
      "conv_transpose2d(x: float32[1, 3, 5, 6], in: 3, out: 4, kernel_size: 2, stride: 2)",
      "conv_transpose2d(x: float32[2, 3, 5, 4], in: 3, out: 4, kernel_size: 3, stride: 2, padding: 1, output_padding: 1)",
      "conv_transpose2d(x: float32[1, 4, 5, 4], in: 4, out: 6, kernel_size: 4, stride: 2, padding: 1, groups: 2, bias: false)",
      "conv_transpose2d(x: float32[1, 3, 5, 4], in: 3, out: 2, kernel_size: [2, 3], dilation: [2, 1], stride: [1, 3], output_padding: [0, "
      "2])"};
  defs[2].examples = {
      "conv_transpose3d(x: float32[1, 3, 3, 4, 5], in: 3, out: 2, kernel_size: 3, stride: 2, padding: 1, output_padding: 1)",
      "conv_transpose3d(x: float32[2, 4, 3, 2, 3], in: 4, out: 4, kernel_size: [2, 3, 1], dilation: [2, 1, 1], groups: 2, bias: false)"};
  return defs;
}

}  // namespace

OpList conv_transpose() {
  static const std::vector<OpDef> defs = all();
  return defs;
}

}  // namespace wherry::ops
