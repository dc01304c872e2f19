// Pooling by windows that slide.
#include "base/diagnostics.h"
#include "base/simd.h"
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/onnx_pool.h"
#include "ops/source_helpers.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace wherry::ops {

namespace {

int spatial_axes(const Node& node) { return node.op->name[node.op->name.size() - 2] - '0'; }

bool has_dilation(const Node& node) { return node.op->attr_index("dilation") >= 0; }

// The attributes as windows; ceil_mode shows as more padding behind. Sizes that are symbolic count as given.
std::vector<Window> windows_of(const Node& node, const Shape& x) {
  const int n = spatial_axes(node);
  const Ints& kernel = infer::per_axis(node, "kernel_size", n);
  const Ints& stride = node.is_none("stride") ? kernel : infer::per_axis(node, "stride", n);
  const Ints& padding = infer::per_axis(node, "padding", n);
  std::vector<Window> out;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    Window w{kernel[i], stride[i], has_dilation(node) ? infer::per_axis(node, "dilation", n)[i] : 1, padding[i], padding[i]};
    if (w.kernel <= 0 || w.stride <= 0 || w.dilation <= 0)
      infer::fault(fmt::format("kernel_size {}, stride {} and dilation {} must be positive", w.kernel, w.stride, w.dilation));
    if (w.before < 0 || 2 * w.before > w.extent())
      infer::fault(fmt::format("padding {} is not between 0 and half of the window's {}", w.before, w.extent()));
    if (node.flag("ceil_mode")) {
      if (!x[i + 2].known()) infer::fault(fmt::format("ceil_mode needs sizes that are numbers, not {}", x[i + 2].text()));
      const std::int64_t in = x[i + 2].size(), room = in + 2 * w.before - w.extent();
      std::int64_t steps = room >= 0 ? (room + w.stride - 1) / w.stride : 0;
      if (steps * w.stride >= in + w.before) --steps;  // no window may start in the padding behind
      w.after = std::max(w.after, steps * w.stride + w.extent() - in - w.before);
    }
    out.push_back(w);
  }
  return out;
}

std::optional<std::int64_t> override_of(const Node& node) {
  const bool none = node.op->attr_index("divisor_override") < 0 || node.is_none("divisor_override");
  return none ? std::nullopt : std::optional(node.integer("divisor_override"));
}

std::vector<Type> infer_pool(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "x", spatial_axes(t.node) + 2);
  if (override_of(t.node) == 0) infer::fault("divisor_override is 0");
  Type out = t["x"];
  const std::vector<Window> windows = windows_of(t.node, out.shape);
  for (std::size_t i = 0; i < windows.size(); ++i) out.shape[i + 2] = infer::slide(out.shape[i + 2], windows[i]);
  return {out};
}

double flops(const Graph& graph, const Node& node) {
  double count = static_cast<double>(known_count(graph.type(node.outputs[0]).shape));
  for (const std::int64_t k : node.ints("kernel_size")) count *= static_cast<double>(k);
  return count;
}

// ---- eval -----------------------------------------------------------------------------------------------------------

struct Range {
  std::int64_t begin, end;  // positions of the window that lie in [0, size), in steps of its dilation
};

Range inside(const Window& w, std::int64_t out, std::int64_t size) {
  const std::int64_t start = out * w.stride - w.before;
  const std::int64_t skipped = start < 0 ? (-start + w.dilation - 1) / w.dilation : 0;
  return {start + skipped * w.dilation, std::min(start + w.extent(), size)};
}

// Calls each(plane, width, out element, rows, columns, out row, out column) for every window of every N·C image.
template <class Each>
void over_windows(OpValues& v, const std::vector<Window>& windows, Each each) {
  const Tensor& x = v["x"];
  const Sizes& out = v.out().sizes();
  const bool flat = x.rank() == 3;
  const Window rows = flat ? Window{} : windows[0], columns = windows.back();
  const std::int64_t height = flat ? 1 : x.sizes()[2], width = x.sizes().back(), out_height = flat ? 1 : out[2], out_width = out.back();
  const float* plane = x.as<float>().data();
  float* to = v.out().mutable_as<float>().data();
  for (std::int64_t p = 0; p < x.sizes()[0] * x.sizes()[1]; ++p, plane += height * width)
    for (std::int64_t i = 0; i < out_height; ++i)
      for (std::int64_t j = 0; j < out_width; ++j) *to++ = each(plane, width, inside(rows, i, height), inside(columns, j, width), i, j);
}

void eval_max(OpValues& v) {
  const std::vector<Window> windows = windows_of(v.node, to_shape(v["x"].sizes()));
  const std::int64_t down = windows.size() == 2 ? windows[0].dilation : 1, right = windows.back().dilation;
  over_windows(v, windows, [&](const float* plane, std::int64_t width, Range rows, Range columns, std::int64_t, std::int64_t) {
    float most = -std::numeric_limits<float>::infinity();
    for (std::int64_t y = rows.begin; y < rows.end; y += down)
      for (std::int64_t x = columns.begin; x < columns.end; x += right) {
        const float value = plane[y * width + x];
        if (value > most || std::isnan(value)) most = value;
      }
    return most;
  });
}

// By how much an average divides along one axis, for each output: the window's part inside the input, or inside the padded input.
std::vector<std::int64_t> divisors(const Node& node, const Window& w, std::int64_t padding, std::int64_t in, std::int64_t out) {
  const bool padded = node.flag("count_include_pad");
  std::vector<std::int64_t> counts;
  for (std::int64_t o = 0; o < out; ++o) {
    const std::int64_t start = o * w.stride - w.before;
    const std::int64_t from = padded ? start : std::max<std::int64_t>(start, 0);
    counts.push_back(std::min(start + w.kernel, in + (padded ? padding : 0)) - from);
  }
  return counts;
}

// Those of each axis; a division is by their product.
using Divisors = std::vector<std::vector<std::int64_t>>;

Divisors divisors_of(const Node& node, const std::vector<Window>& windows, const Shape& in, const Shape& out) {
  const Ints& padding = node.ints("padding");
  Divisors d;
  for (std::size_t i = 0; i < windows.size(); ++i) d.push_back(divisors(node, windows[i], padding[i], in[i + 2].size(), out[i + 2].size()));
  return d;
}

// What an average over whole windows is multiplied by at each place, [1, places…, 1]; nothing where all are 1.
std::optional<Tensor> shares(const Divisors& d, std::int64_t area) {
  std::vector<std::int64_t> products = {1};
  Sizes shape = {1};
  for (const std::vector<std::int64_t>& axis : d) {
    std::vector<std::int64_t> longer;
    for (const std::int64_t p : products)
      for (const std::int64_t divisor : axis) longer.push_back(p * divisor);
    products = std::move(longer);
    shape.push_back(static_cast<std::int64_t>(axis.size()));
  }
  shape.push_back(1);
  if (std::all_of(products.begin(), products.end(), [&](std::int64_t p) { return p == area; })) return std::nullopt;
  std::vector<float> factors;
  for (const std::int64_t p : products) factors.push_back(static_cast<float>(area) / static_cast<float>(p));
  return Tensor::from(factors, shape);
}

void eval_average(OpValues& v) {
  const Shape in = to_shape(v["x"].sizes());
  const std::vector<Window> windows = windows_of(v.node, in);
  const Divisors d = divisors_of(v.node, windows, in, to_shape(v.out().sizes()));
  const std::optional<std::int64_t> fixed = override_of(v.node);
  over_windows(v, windows, [&](const float* plane, std::int64_t width, Range rows, Range columns, std::int64_t i, std::int64_t j) {
    double sum = 0;
    for (std::int64_t y = rows.begin; y < rows.end; ++y)
      for (std::int64_t x = columns.begin; x < columns.end; ++x) sum += plane[y * width + x];
    const std::int64_t divisor =
        fixed.value_or((d.size() == 1 ? 1 : d[0][static_cast<std::size_t>(i)]) * d.back()[static_cast<std::size_t>(j)]);
    return static_cast<float>(sum / static_cast<double>(divisor));
  });
}

// ---- three axes in two ----------------------------------------------------------------------------------------------

// Two windows one after the other: over the last two axes of each layer, then over the layers.
std::vector<ValueId> expand_pool3d(Builder& b, const Node& node) {
  const Shape x = b.type(node.inputs[0]).shape, out = b.type(node.outputs[0]).shape;
  if (!x[2].known() || !out[3].known() || !out[4].known())
    fail({.code = "E504",
          .message = fmt::format("{} needs a size for each spatial axis", node.op->name),
          .at = node.where(),
          .next = "give each dimension a size with --dim NAME=SIZE"});
  const bool average = node.op->name == "avg_pool3d";
  const Ints& kernel = node.ints("kernel_size");
  const Ints &stride = node.is_none("stride") ? kernel : node.ints("stride"), &padding = node.ints("padding");
  const auto pool = [&](ValueId v, std::size_t first, std::size_t count) {  // over `count` axes of the window, and one more of size 1
    const auto some = [&](const Ints& list, std::int64_t fill) {
      Ints part(2, fill);
      std::copy_n(list.begin() + static_cast<std::ptrdiff_t>(first), count, part.begin());
      return part;
    };
    std::vector<NamedAttr> attrs = {{"kernel_size", some(kernel, 1)},
                                    {"stride", some(stride, 1)},
                                    {"padding", some(padding, 0)},
                                    {"ceil_mode", node.flag("ceil_mode")}};
    if (!average) attrs.push_back({"dilation", some(node.ints("dilation"), 1)});
    if (average) attrs.push_back({"count_include_pad", node.flag("count_include_pad")});
    if (override_of(node)) attrs.push_back({"divisor_override", std::int64_t{1}});
    return b(average ? "avg_pool2d" : "max_pool2d", {v}, std::move(attrs));
  };
  const auto merged = [&](ValueId v, std::int64_t from) { return b("flatten", {v}, {{"start_dim", from}, {"end_dim", from + 1}}); };
  const Ints swap = {0, 2, 1, 3, 4};
  ValueId y = pool(merged(b("permute", {node.inputs[0]}, {{"dims", swap}}), 0), 1, 2);
  y = b("permute", {b("unflatten", {y}, {{"dim", std::int64_t{0}}, {"sizes", Ints{-1, x[2].size()}}})}, {{"dims", swap}});
  y = b("unflatten", {pool(merged(y, 3), 0, 1)}, {{"dim", std::int64_t{3}}, {"sizes", Ints{out[3].size(), out[4].size()}}});
  if (const std::optional<std::int64_t> divisor = override_of(node))
    y = b("div", {y, b.scalar(static_cast<double>(*divisor), b.type(y).dtype)});
  return {y};
}

// ---- TensorFlow Lite ------------------------------------------------------------------------------------------------

// Windows with gaps: the greatest of one strided slice for each element of the window.
void lower_dilated_max(TflLowering& t, const Node& node, const tfl::Framed& in) {
  const Type out = tfl::framed_output(t.graph, node);
  const Window &v = in.windows[0], &h = in.windows[1];
  const std::int64_t height = out.shape[1].size(), width = out.shape[2].size(), n = out.shape[0].size(), c = out.shape[3].size();
  int most = -1;
  for (std::int64_t i = 0; i < v.kernel; ++i)
    for (std::int64_t j = 0; j < h.kernel; ++j) {
      const std::int64_t top = i * v.dilation, left = j * h.dilation;
      const int slice = t.add("STRIDED_SLICE",
                              {in.x, tfl::int32s(t, {0, top, left, 0}),
                               tfl::int32s(t, {n, top + (height - 1) * v.stride + 1, left + (width - 1) * h.stride + 1, c}),
                               tfl::int32s(t, {1, v.stride, h.stride, 1})},
                              out);
      most = most < 0 ? slice : t.add("MAXIMUM", {most, slice}, out);
    }
  tfl::give_framed(t, node, most);
}

void lower_max(TflLowering& t, const Node& node) {
  const std::vector<Window> windows = windows_of(node, t.graph.type(node.inputs[0]).shape);
  const bool dilated = std::any_of(windows.begin(), windows.end(), [](const Window& w) { return w.dilation > 1 && w.kernel > 1; });
  const tfl::Framed in = tfl::frame(t, node, node.inputs[0], windows, {.fill = -std::numeric_limits<float>::infinity(), .same = !dilated});
  if (dilated) return lower_dilated_max(t, node, in);
  tfl::give_framed(t, node, t.add("MAX_POOL_2D", {in.x}, tfl::framed_output(t.graph, node), tfl::pool_options(in)));
}

void lower_average(TflLowering& t, const Node& node) {
  const Shape& shape = t.graph.type(node.inputs[0]).shape;
  const std::vector<Window> windows = windows_of(node, shape);
  const Type out = tfl::framed_output(t.graph, node);
  // SAME divides by what lies inside the input: the meaning of count_include_pad=False.
  const std::optional<std::int64_t> fixed = override_of(node);
  const bool same = !node.flag("count_include_pad") && !fixed;
  const tfl::Framed in = tfl::frame(t, node, node.inputs[0], windows, {.same = same, .merge = !same});
  int y = t.add("AVERAGE_POOL_2D", {in.x}, out, tfl::pool_options(in));
  const std::int64_t area = in.windows[0].kernel * in.windows[1].kernel;
  if (fixed) {
    if (*fixed != area)
      y = tfl::binary(t, "MUL", y, t.constant(Tensor::scalar(static_cast<double>(area) / static_cast<double>(*fixed))), out);
  } else if (in.padding == "VALID") {
    Divisors d = divisors_of(node, windows, shape, t.graph.type(node.outputs[0]).shape);
    if (d.size() == 1) d.insert(d.begin(), {1});
    if (const std::optional<Tensor> factors = shares(d, area)) y = tfl::binary(t, "MUL", y, t.constant(*factors), out);
  }
  tfl::give_framed(t, node, y);
}

// ---- PyTorch --------------------------------------------------------------------------------------------------------

// An empty stride means the kernel's size.
template <const char* name>
std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  std::vector<NamedAttr> attrs;
  for (const std::string_view attr : {"kernel_size", "stride", "padding", "dilation"})
    if (const Ints list = ints(n, attr, Ints{}); !list.empty()) attrs.push_back({attr, list});
  for (const std::string_view attr : {"ceil_mode", "count_include_pad"})
    if (given(n, attr)) attrs.push_back({attr, flag(n, attr, false)});
  if (given(n, "divisor_override")) attrs.push_back({"divisor_override", integer(n, "divisor_override")});
  const ValueId x = n.value("self");
  const std::string_view op = name;
  const auto axes = static_cast<std::size_t>(op[op.size() - 2] - '0');  // "max_pool3d"
  if (b.type(x).shape.size() != axes + 1) return {b(name, {x}, std::move(attrs))};
  const NamedAttr first{"dim", std::int64_t{0}};  // PyTorch takes an image without a batch as well
  return {b("squeeze", {b(name, {b("unsqueeze", {x}, {first})}, std::move(attrs))}, {first})};
}
constexpr char max1[] = "max_pool1d", max2[] = "max_pool2d", max3[] = "max_pool3d";
constexpr char avg1[] = "avg_pool1d", avg2[] = "avg_pool2d", avg3[] = "avg_pool3d";

// An average over SAME counts what lies inside alone; a maximum is taken over it with the least number around.
std::vector<ValueId> padded_pool(Builder& b, const ForeignNode& node, const Ints& kernel, const Ints& stride,
                                 const std::vector<tfl_in::Sides>& sides) {
  const bool average = node.target == "AVERAGE_POOL_2D";
  const Sizes in = tfl_in::shape_of(b, node, tfl_in::input(node, 0));
  const double fill = average ? 0 : -std::numeric_limits<double>::infinity();
  const ValueId x = b("pad", {tfl_in::channels_first(b, tfl_in::input(node, 0))}, {{"pad", tfl_in::pad_list(sides)}, {"value", fill}});
  const ValueId y = b(average ? "avg_pool2d" : "max_pool2d", {x}, {{"kernel_size", kernel}, {"stride", stride}});
  if (!average) return {tfl_in::channels_last(b, y)};
  const Sizes out = tfl_in::shape_of(b, node, y);
  const auto inside = [&](std::size_t axis, std::int64_t at) {  // how many of the window's places lie in the input
    const std::int64_t from = at * stride[axis] - sides[axis].before;
    return std::min(from + kernel[axis], in[axis + 1]) - std::max<std::int64_t>(from, 0);
  };
  std::vector<float> factors;
  for (std::int64_t r = 0; r < out[2]; ++r)
    for (std::int64_t c = 0; c < out[3]; ++c)
      factors.push_back(static_cast<float>(kernel[0] * kernel[1]) / static_cast<float>(inside(0, r) * inside(1, c)));
  return {tfl_in::channels_last(b, b("mul", {y, b.constant(Tensor::from(factors, {1, 1, out[2], out[3]}))}))};
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const bool average = node.target == "AVERAGE_POOL_2D";
  const Sizes in = tfl_in::shape_of(b, node, tfl_in::input(node, 0));
  const Ints kernel = {integer(node, "filter_height"), integer(node, "filter_width")};
  const Ints stride = {integer(node, "stride_h", 1), integer(node, "stride_w", 1)};
  if (in.size() != 4 || kernel[0] < 1 || kernel[1] < 1) refuse(node, fmt::format("'{}' of {}", node.target, text(to_shape(in))));
  const std::vector<tfl_in::Sides> sides = tfl_in::sides(node, in, kernel[0], kernel[1]);
  const Ints around = {sides[0].before, sides[1].before};
  if (!tfl_in::even(sides) || 2 * around[0] > kernel[0] || 2 * around[1] > kernel[1]) return padded_pool(b, node, kernel, stride, sides);
  std::vector<NamedAttr> attrs = {{"kernel_size", kernel}, {"stride", stride}, {"padding", around}};
  if (average && around != Ints{0, 0}) attrs.push_back({"count_include_pad", false});
  return {tfl_in::channels_last(b, b(average ? "avg_pool2d" : "max_pool2d", {tfl_in::channels_first(b, tfl_in::input(node, 0))}, attrs))};
}

// ---- ONNX ----

OnnxLowering::Attributes onnx_attributes(const Node& node) {
  Ints pads = node.ints("padding");
  pads.insert(pads.end(), node.ints("padding").begin(), node.ints("padding").end());
  return {{"kernel_shape", node.attr("kernel_size")},
          {"strides", node.is_none("stride") ? node.attr("kernel_size") : node.attr("stride")},
          {"pads", pads},
          {"ceil_mode", std::int64_t{node.flag("ceil_mode")}}};
}

void lower_onnx_max(OnnxLowering& l, const Node& node) {
  OnnxLowering::Attributes attributes = onnx_attributes(node);
  attributes.emplace_back("dilations", node.attr("dilation"));
  l.give(node.outputs[0], l.add("MaxPool", {l[node.inputs[0]]}, attributes));
}

// Before opset 19 ONNX Runtime counts padding behind a ceiled window: there the zeros are padded explicitly.
void lower_onnx_average(OnnxLowering& l, const Node& node) {
  OnnxLowering::Attributes attributes = onnx_attributes(node);
  const std::optional<std::int64_t> divisor = override_of(node);
  attributes.emplace_back("count_include_pad", std::int64_t{divisor || node.flag("count_include_pad")});
  int y = l.add("AveragePool", {l[node.inputs[0]]}, attributes);
  if (divisor) {
    double window = 1;
    for (const std::int64_t k : node.ints("kernel_size")) window *= static_cast<double>(k);
    y = l.add("Mul", {y, l.scalar(window / static_cast<double>(*divisor), l.graph.type(node.outputs[0]).dtype)});
  }
  l.give(node.outputs[0], y);
}

std::vector<AttrDef> window_attrs(AttrKind kind, std::size_t axes) {
  return {
      {.name = "kernel_size", .kind = kind, .doc = "size of the window"},
      {.name = "stride", .kind = kind, .fallback = None{}, .doc = "step of the window; null: kernel_size", .or_none = true},
      {.name = "padding", .kind = kind, .fallback = Ints(axes, 0), .doc = "added on both sides of each axis, at most half of kernel_size"}};
}

AttrDef ceil_attr() {
  return {
      .name = "ceil_mode", .kind = AttrKind::boolean, .fallback = false, .doc = "whether a last window may reach beyond the padded input"};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view windows_source = R"py(
def windows(x, start, combine, window, stride, padding, dilation, ceil_mode):
    """Combines what lies under a window that slides over the spatial axes."""
    axes = x.ndim - 2
    window, padding = each_axis(window, axes), each_axis(padding, axes)
    stride = window if stride is None else each_axis(stride, axes)
    dilation, ends = each_axis(dilation, axes), []
    sizes = zip(x.shape[2:], window, stride, padding, dilation, strict=True)
    for n, w, s, p, d in sizes:
        reach = d * (w - 1) + 1
        count = (n + 2 * p - reach + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        ends.append((p, max((count - 1) * s + reach - n - p, 0)))
    return jax.lax.reduce_window(
        x,
        start,
        combine,
        (1, 1, *window),
        (1, 1, *stride),
        ((0, 0), (0, 0), *ends),
        window_dilation=(1, 1, *dilation),
    )
)py";

constexpr std::string_view max_pool_source = R"py(
def max_pool(x, window, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The greatest element under a window that slides."""
    combine = jax.lax.max
    return windows(x, -jnp.inf, combine, window, stride, padding, dilation, ceil_mode)
)py";

constexpr std::string_view avg_pool_source = R"py(
def avg_pool(
    x,
    window,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The average under a window that slides."""
    stride = window if stride is None else stride
    around = [(0, 0), (0, 0), *((p, p) for p in each_axis(padding, x.ndim - 2))]
    border = 1.0 if count_include_pad else 0.0
    counted = jnp.pad(jnp.ones_like(x), around, constant_values=border)

    def add_up(y):
        return windows(y, 0.0, jax.lax.add, window, stride, 0, 1, ceil_mode)

    return add_up(jnp.pad(x, around)) / (divisor_override or add_up(counted))
)py";

std::vector<ValueId> convert_keras(Builder& b, const ForeignNode& node) {
  const bool average = node.target.starts_with("Average");
  const ValueId x = tfl_in::input(node, 0);
  const std::size_t places = b.type(x).shape.size() - 2;
  const Ints kernel = keras_in::per_axis(node, "pool_size", places, 2);
  Ints stride = keras_in::per_axis(node, "strides", places, 0), padding;
  if (stride == Ints(places, 0)) stride = kernel;
  const auto sides = keras_in::sides(b, node, x, kernel, stride, Ints(places, 1));
  if (average && !tfl_in::even(sides)) refuse(node, "an average that pads its sides differently");
  const ValueId first =
      keras_in::padded(b, tfl_in::channels_first(b, x), sides, average ? 0 : -std::numeric_limits<double>::infinity(), padding);
  std::vector<NamedAttr> attrs = {{"kernel_size", kernel}, {"stride", stride}, {"padding", padding}};
  if (average && padding != Ints(places, 0)) attrs.push_back({"count_include_pad", false});
  return {tfl_in::channels_last(b, b(fmt::format("{}_pool{}d", average ? "avg" : "max", places), {first}, attrs))};
}

// ---- Keras ----------------------------------------------------------------------------------------------------------

std::vector<KerasEntry> keras_windows(const std::vector<Window>& windows, const std::string& padding) {
  std::vector<KerasEntry> config = {{"pool_size", keras::kernels(windows), "$kernel_size"},
                                    {"strides", keras::strides(windows), "$stride"}};
  if (padding != "valid") config.push_back({"padding", padding});
  return config;
}

// The greatest of slices, one for each element of the window.
int keras_dilated_max(KerasLowering& k, int x, Type type, const std::vector<Window>& windows, const Type& out, std::size_t axis) {
  if (axis == windows.size()) return x;
  const Window& w = windows[axis];
  int most = -1;
  Type narrow = type;
  narrow.shape[axis + 1] = out.shape[axis + 1];
  for (std::int64_t i = 0; i < w.kernel; ++i) {
    const int part = keras::slice(k, x, static_cast<int>(axis) + 1, i * w.dilation, out.shape[axis + 1].size(), type, w.stride);
    most = most < 0 ? part : keras::binary(k, "Maximum", most, part, narrow);
  }
  return keras_dilated_max(k, most, narrow, windows, out, axis + 1);
}

void keras_max(KerasLowering& k, const Node& node) {
  const std::vector<Window> windows = windows_of(node, k.graph.type(node.inputs[0]).shape);
  const Type out = keras::channels_last(k.graph.type(node.outputs[0]));
  const bool dilated = std::any_of(windows.begin(), windows.end(), [](const Window& w) { return w.dilation > 1 && w.kernel > 1; });
  const keras::Padded in = keras::pad(k, node, node.inputs[0], windows, {std::numeric_limits<float>::lowest(), !dilated});
  if (dilated) return k.give_channels_last(node.outputs[0], keras_dilated_max(k, in.x, in.type, windows, out, 0));
  k.give_channels_last(node.outputs[0],
                       k.add(keras::places(k, node, "MaxPooling"), {KerasRef{in.x}}, out, keras_windows(windows, in.padding)));
}

// "same" divides by what lies inside the input: the meaning of count_include_pad=False (on PyTorch only where both sides are padded
// alike). Elsewhere the window's size is divided by
// and a factor puts right what lies at the border.
void keras_average(KerasLowering& k, const Node& node) {
  const Shape& shape = k.graph.type(node.inputs[0]).shape;
  const std::vector<Window> windows = windows_of(node, shape);
  const Type out = keras::channels_last(k.graph.type(node.outputs[0]));
  const std::optional<std::int64_t> fixed = override_of(node);
  const bool even = std::all_of(windows.begin(), windows.end(), [](const Window& w) { return w.before == w.after; });
  const keras::Padded in = keras::pad(k, node, node.inputs[0], windows, {0, even && !node.flag("count_include_pad") && !fixed});
  int y = k.add(keras::places(k, node, "AveragePooling"), {KerasRef{in.x}}, out, keras_windows(windows, in.padding));
  std::int64_t area = 1;
  for (const Window& w : windows) area *= w.kernel;
  if (fixed) {
    if (*fixed != area)
      y = keras::binary(k, "Multiply", y, k.constant(Tensor::scalar(static_cast<double>(area) / static_cast<double>(*fixed))), out);
  } else if (in.padding == "valid") {
    const Divisors d = divisors_of(node, windows, shape, k.graph.type(node.outputs[0]).shape);
    if (const std::optional<Tensor> factors = shares(d, area)) y = keras::binary(k, "Multiply", y, k.constant(*factors), out);
  }
  k.give_channels_last(node.outputs[0], y);
}

AttrKind kind_of(int axes) { return axes == 1 ? AttrKind::ints1 : axes == 2 ? AttrKind::ints2 : AttrKind::ints3; }

std::string_view input_of(int axes) { return axes == 1 ? "[N, C, L]" : axes == 2 ? "[N, C, H, W]" : "[N, C, D, H, W]"; }

OpDef max_pool(std::string_view name, int axes, ForeignMap map, std::string_view keras) {
  const AttrKind kind = kind_of(axes);
  std::vector<AttrDef> attrs = window_attrs(kind, static_cast<std::size_t>(axes));
  attrs.push_back({.name = "dilation",
                   .kind = kind,
                   .fallback = Ints(static_cast<std::size_t>(axes), 1),
                   .doc = "distance between the window's elements"});
  attrs.push_back(ceil_attr());
  constexpr std::string_view calls[] = {"F.max_pool1d({x}, {kernel_size}, {stride}, {padding}, {dilation}, {ceil_mode})",
                                        "F.max_pool2d({x}, {kernel_size}, {stride}, {padding}, {dilation}, {ceil_mode})",
                                        "F.max_pool3d({x}, {kernel_size}, {stride}, {padding}, {dilation}, {ceil_mode})"};
  constexpr std::string_view modules[] = {
      "nn.MaxPool1d({kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, ceil_mode={ceil_mode?})",
      "nn.MaxPool2d({kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, ceil_mode={ceil_mode?})",
      "nn.MaxPool3d({kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, ceil_mode={ceil_mode?})"};
  return {
      .name = name,
      .doc = "The greatest element under a window that slides; padding never wins.",
      .inputs = {{"x", input_of(axes)}},
      .attrs = attrs,
      .infer = infer_pool,
      .eval = axes < 3 ? eval_max : nullptr,
      .expand = axes < 3 ? nullptr : expand_pool3d,
      .flops = flops,
      .layout = {LayoutRule::spatial},
      .torch = {map},
      .tflite = {.lower = axes < 3 ? lower_max : nullptr},
      .onnx_out = {.lower = lower_onnx_max},
      .keras = {.lower = keras_max},
      .source = {.torch = calls[axes - 1],
                 .keras = keras,
                 .jax = "max_pool({x}, {kernel_size}, stride={stride?}, padding={padding?}, dilation={dilation?}, ceil_mode={ceil_mode?})",
                 .torch_module = modules[axes - 1],
                 .jax_helpers = {jax::each_axis, windows_source, max_pool_source}},
      .quant = {QuantRule::same_scale}};
}

OpDef avg_pool(std::string_view name, int axes, ForeignMap map, std::string_view keras) {
  std::vector<AttrDef> attrs = window_attrs(kind_of(axes), static_cast<std::size_t>(axes));
  attrs.push_back(ceil_attr());
  attrs.push_back(
      {.name = "count_include_pad", .kind = AttrKind::boolean, .fallback = true, .doc = "whether padding counts in the divisor"});
  if (axes > 1)
    attrs.push_back(
        {.name = "divisor_override", .kind = AttrKind::integer, .fallback = None{}, .doc = "divides every sum by this", .or_none = true});
  constexpr std::string_view calls[] = {
      "F.avg_pool1d({x}, {kernel_size}, {stride}, {padding}, {ceil_mode}, {count_include_pad})",
      "F.avg_pool2d({x}, {kernel_size}, {stride}, {padding}, {ceil_mode}, {count_include_pad}, {divisor_override})",
      "F.avg_pool3d({x}, {kernel_size}, {stride}, {padding}, {ceil_mode}, {count_include_pad}, {divisor_override})"};
  constexpr std::string_view modules[] = {
      "nn.AvgPool1d({kernel_size}, stride={stride?}, padding={padding?}, ceil_mode={ceil_mode?}, "
      "count_include_pad={count_include_pad?})",
      "nn.AvgPool2d({kernel_size}, stride={stride?}, padding={padding?}, ceil_mode={ceil_mode?}, "
      "count_include_pad={count_include_pad?}, divisor_override={divisor_override?})",
      "nn.AvgPool3d({kernel_size}, stride={stride?}, padding={padding?}, ceil_mode={ceil_mode?}, "
      "count_include_pad={count_include_pad?}, divisor_override={divisor_override?})"};
  return {.name = name,
          .doc = "The average under a window that slides.",
          .inputs = {{"x", input_of(axes)}},
          .attrs = attrs,
          .infer = infer_pool,
          .eval = axes < 3 ? eval_average : nullptr,
          .expand = axes < 3 ? nullptr : expand_pool3d,
          .flops = flops,
          .layout = {LayoutRule::spatial},
          .torch = {map},
          .tflite = {.lower = axes < 3 ? lower_average : nullptr},
          .onnx_out = {.lower = lower_onnx_average},
          .keras = {.lower = keras_average},
          .source = {.torch = calls[axes - 1],
                     .keras = keras,
                     .jax = axes == 1 ? "avg_pool({x}, {kernel_size}, stride={stride?}, padding={padding?}, ceil_mode={ceil_mode?}, "
                                        "count_include_pad={count_include_pad?})"
                                      : "avg_pool({x}, {kernel_size}, stride={stride?}, padding={padding?}, ceil_mode={ceil_mode?}, "
                                        "count_include_pad={count_include_pad?}, divisor_override={divisor_override?})",
                     .torch_module = modules[axes - 1],
                     .jax_helpers = {jax::each_axis, windows_source, avg_pool_source}},
          .quant = {QuantRule::own_range}};
}

std::vector<OpDef> pools() {
  constexpr std::string_view max = "keras.ops.max_pool({x}, {kernel_size}, {stride})";
  constexpr std::string_view average = "keras.ops.average_pool({x}, {kernel_size}, {stride})";
  std::vector<OpDef> defs = {max_pool(max1, 1, {.target = "aten.max_pool1d.default", .convert = convert<max1>}, max),
                             max_pool(max2, 2, {.target = "aten.max_pool2d.default", .convert = convert<max2>}, max),
                             avg_pool(avg1, 1, {.target = "aten.avg_pool1d.default", .convert = convert<avg1>}, average),
                             avg_pool(avg2, 2, {.target = "aten.avg_pool2d.default", .convert = convert<avg2>}, average),
                             max_pool(max3, 3, {.target = "aten.max_pool3d.default", .convert = convert<max3>}, max),
                             avg_pool(avg3, 3, {.target = "aten.avg_pool3d.default", .convert = convert<avg3>}, average)};
  defs[1].torch.push_back({.target = "aten.max_pool2d_with_indices.default", .convert = convert<max2>});
  defs[4].torch.push_back({.target = "aten.max_pool3d_with_indices.default", .convert = convert<max3>});
  defs[1].tflite_in = {{"MAX_POOL_2D", "", 0, convert_tflite}};
  defs[3].tflite_in = {{"AVERAGE_POOL_2D", "", 0, convert_tflite}};
  defs[1].onnx = {onnx_pool::max_map()};
  defs[3].onnx = onnx_pool::average_maps();
  for (std::size_t i = 0; i < defs.size(); ++i) {
    static constexpr std::string_view layers[] = {"MaxPooling1D",     "MaxPooling2D", "AveragePooling1D",
                                                  "AveragePooling2D", "MaxPooling3D", "AveragePooling3D"};
    defs[i].keras_in = {{layers[i], "", 0, convert_keras}};
  }
  defs[0].examples = {"max_pool1d(x: float32[2, 3, 10], kernel_size: 3, stride: 2, padding: 1)",
                      "max_pool1d(x: float32[1, 3, 11], kernel_size: 2, ceil_mode: true)",
                      "max_pool1d(x: float32[1, 3, 11], kernel_size: 3, stride: 1, dilation: 2)"};
  defs[1].examples = {"max_pool2d(x: float32[2, 3, 8, 8], kernel_size: 2)",
                      "max_pool2d(x: float32[1, 3, 112, 112], kernel_size: 3, stride: 2, padding: 1)",
                      "max_pool2d(x: float32[1, 3, 9, 10], kernel_size: 3, stride: 2, padding: 1, ceil_mode: true)",
                      "max_pool2d(x: float32[1, 2, 7, 9], kernel_size: [2, 3], stride: [2, 1], padding: [1, 0])",
                      "max_pool2d(x: float32[1, 3, 9, 9], kernel_size: 3, stride: 1, padding: 1)",
                      "max_pool2d(x: float32[1, 2, 9, 9], kernel_size: 3, stride: 2, padding: 1, dilation: 2)"};
  defs[2].examples = {"avg_pool1d(x: float32[2, 3, 10], kernel_size: 3, stride: 2, padding: 1)",
                      "avg_pool1d(x: float32[1, 3, 11], kernel_size: 4, ceil_mode: true, count_include_pad: false)"};
  defs[3].examples = {
      "avg_pool2d(x: float32[2, 3, 8, 8], kernel_size: 2)",
      "avg_pool2d(x: float32[1, 3, 9, 9], kernel_size: 3, stride: 2, padding: 1)",
      "avg_pool2d(x: float32[1, 3, 9, 9], kernel_size: 3, stride: 1, padding: 1, count_include_pad: false)",
      "avg_pool2d(x: float32[1, 3, 10, 8], kernel_size: 3, stride: 2, padding: 1, ceil_mode: true)",
      "avg_pool2d(x: float32[1, 3, 10, 8], kernel_size: 3, stride: 2, padding: 1, ceil_mode: true, count_include_pad: false)",
      "avg_pool2d(x: float32[1, 2, 7, 8], kernel_size: [3, 2], stride: [2, 3], padding: [1, 0], divisor_override: 5)"};
  defs[4].examples = {
      "max_pool3d(x: float32[2, 3, 5, 6, 7], kernel_size: 2)",
      "max_pool3d(x: float32[1, 2, 6, 7, 8], kernel_size: [3, 2, 3], stride: [2, 1, 2], padding: [1, 0, 1], ceil_mode: true)",
      "max_pool3d(x: float32[1, 2, 7, 7, 7], kernel_size: 2, stride: 1, dilation: [3, 2, 1])"};
  defs[5].examples = {
      "avg_pool3d(x: float32[2, 3, 4, 6, 5], kernel_size: 2)",
      "avg_pool3d(x: float32[1, 2, 6, 7, 8], kernel_size: 3, stride: 2, padding: 1, count_include_pad: false)",
      "avg_pool3d(x: float32[1, 2, 6, 7, 8], kernel_size: [3, 2, 3], stride: [2, 1, 2], padding: [1, 0, 1], ceil_mode: true)",
      "avg_pool3d(x: float32[1, 2, 4, 4, 4], kernel_size: 2, divisor_override: 5)"};
  return defs;
}

}  // namespace

OpList pool() {
  static const std::vector<OpDef> defs = pools();
  return defs;
}

}  // namespace wherry::ops
