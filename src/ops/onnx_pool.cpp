#include "ops/onnx_pool.h"

#include "ops/onnx.h"

#include <limits>

namespace wherry::ops::onnx_pool {

namespace {

struct OnnxWindows {
  Ints kernel, stride, dilation;
  std::vector<std::pair<std::int64_t, std::int64_t>> pads;
  bool ceil;
  // Our own pooling pads both ends alike and at most by half of the window.
  bool even() const {
    for (std::size_t i = 0; i < kernel.size(); ++i)
      if (pads[i].first != pads[i].second || 2 * pads[i].first > dilation[i] * (kernel[i] - 1) + 1) return false;
    return true;
  }
  bool gaps() const {
    return std::any_of(dilation.begin(), dilation.end(), [](std::int64_t d) { return d != 1; });
  }
  Ints padding() const {
    Ints out;
    for (const auto& [before, after] : pads) out.push_back(before);
    return out;
  }
};

OnnxWindows onnx_windows(Builder& b, const ForeignNode& n) {
  OnnxWindows w{ints(n, "kernel_shape"), {}, {}, {}, flag(n, "ceil_mode", false)};
  const std::size_t axes = w.kernel.size();
  if (axes < 1 || axes > 3) refuse(n, fmt::format("'{}' over {} axes is not known, only 1, 2 and 3", n.target, axes));
  w.stride = ints(n, "strides", Ints(axes, 1));
  w.dilation = ints(n, "dilations", Ints(axes, 1));
  if (w.stride.size() != axes || w.dilation.size() != axes)
    refuse(n, fmt::format("'{}' has strides or dilations of the wrong number", n.target));
  w.pads = onnx::padding(b, n, w.kernel, w.stride, w.dilation);
  if (word(n, "auto_pad", "NOTSET") != "NOTSET") w.ceil = false;
  return w;
}

// Padding of its own before the window: the last axis first.
ValueId padded(Builder& b, ValueId x, const OnnxWindows& w, double fill) {
  Ints pad;
  for (std::size_t i = w.pads.size(); i-- > 0;) pad.insert(pad.end(), {w.pads[i].first, w.pads[i].second});
  return b("pad", {x}, {{"pad", pad}, {"value", fill}});
}

// Where the greatest elements lie in the whole of x: one strided slice for each element of the window, and which of them is greatest.
ValueId onnx_places(Builder& b, const ForeignNode& n, ValueId x, ValueId y, const OnnxWindows& w) {
  const Sizes in = onnx::static_shape(b, n, onnx::required(n, 0)), padded_in = onnx::static_shape(b, n, x);
  const Sizes out = onnx::static_shape(b, n, y);
  const std::size_t axes = w.kernel.size();
  Ints step(axes, 1);  // by one position along each axis; storage_order 1 counts the first axis fastest
  const bool columns = integer(n, "storage_order", 0) != 0;
  for (std::size_t i = 1; i < axes; ++i) {
    const std::size_t at = columns ? i : axes - 1 - i, inner = columns ? at - 1 : at + 1;
    step[at] = step[inner] * in[inner + 2];
  }
  OnnxWindows whole = w;  // padded so that every window lies inside
  Ints before(axes, 0);
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t reach = (out[i + 2] - 1) * w.stride[i] + w.dilation[i] * (w.kernel[i] - 1) + 1;
    whole.pads[i].second = std::max<std::int64_t>(reach - padded_in[i + 2] - w.pads[i].first, 0);
    before[i] = w.pads[i].first + (padded_in[i + 2] - in[i + 2] > 0 ? onnx::padding(b, n, w.kernel, w.stride, w.dilation)[i].first : 0);
  }
  const ValueId wide = padded(b, x, whole, -std::numeric_limits<double>::infinity());
  std::vector<ValueId> layers;
  std::vector<std::int64_t> shifts;
  std::int64_t count = 1;
  for (const std::int64_t k : w.kernel) count *= k;
  for (std::int64_t k = 0; k < count; ++k) {
    ValueId layer = wide;
    std::int64_t rest = k, shift = 0;
    for (std::size_t i = axes; i-- > 0; rest /= w.kernel[i]) {
      const std::int64_t from = rest % w.kernel[i] * w.dilation[i], to = from + (out[i + 2] - 1) * w.stride[i] + 1;
      layer = b("slice", {layer}, {{"dim", static_cast<std::int64_t>(i) + 2}, {"start", from}, {"end", to}, {"step", w.stride[i]}});
      shift += from * step[i];
    }
    layers.push_back(layer);
    shifts.push_back(shift);
  }
  const ValueId which = b("argmax", {b("stack", layers, {{"dim", std::int64_t{0}}})}, {{"dim", std::int64_t{0}}});
  std::vector<std::int64_t> corners;  // of each window
  const Sizes strides = contiguous_strides(out);
  for (std::int64_t e = 0; e < element_count(out); ++e) {
    const std::int64_t image = e / strides[1];
    std::int64_t corner = image * element_count(Sizes(in.begin() + 2, in.end()));
    for (std::size_t i = 0; i < axes; ++i) corner += (e / strides[i + 2] % out[i + 2] * w.stride[i] - before[i]) * step[i];
    corners.push_back(corner);
  }
  const ValueId flat = b("index_select", {b.ints(shifts), b("reshape", {which}, {{"shape", Ints{-1}}})}, {{"dim", std::int64_t{0}}});
  return b("add", {b("reshape", {flat}, {{"shape", Ints(out)}}), b.constant(Tensor::from(corners, out))});
}

std::vector<ValueId> convert_onnx_max(Builder& b, const ForeignNode& n) {
  ValueId x = onnx::required(n, 0);
  OnnxWindows w = onnx_windows(b, n);
  const DType type = b.type(x).dtype;
  if (!is_float(type)) x = cast(b, x, DType::float32);  // integers of 8 bits
  if (!w.even()) {
    x = padded(b, x, w, -std::numeric_limits<double>::infinity());
    w.pads.assign(w.pads.size(), {0, 0});
  }
  const ValueId y =
      b(fmt::format("max_pool{}d", w.kernel.size()), {x},
        {{"kernel_size", w.kernel}, {"stride", w.stride}, {"padding", w.padding()}, {"dilation", w.dilation}, {"ceil_mode", w.ceil}});
  if (n.output_count < 2) return {cast(b, y, type)};
  return {cast(b, y, type), onnx_places(b, n, x, y, w)};
}

// A window with gaps: the sum is a convolution of each channel with ones; what it is divided by is known for each place.
ValueId dilated_average(Builder& b, const ForeignNode& n, ValueId x, const OnnxWindows& w) {
  const Sizes in = onnx::static_shape(b, n, x);
  const bool counts = flag(n, "count_include_pad", false);
  Sizes out = {1, 1}, kernel = {in[1], 1};
  Ints ends;
  std::vector<float> shares = {1};
  for (std::size_t i = 0; i < w.kernel.size(); ++i) {
    const auto [before, after] = w.pads[i];
    const std::int64_t size = in[i + 2], extent = w.dilation[i] * (w.kernel[i] - 1) + 1, room = size + before + after - extent;
    std::int64_t last = w.ceil ? (room + w.stride[i] - 1) / w.stride[i] : room / w.stride[i];
    if (w.ceil && last * w.stride[i] >= size + before) --last;  // no window may start in the padding behind
    std::vector<float> axis;
    for (std::int64_t o = 0; o <= last; ++o) {
      int inside = 0;
      for (std::int64_t k = 0; k < w.kernel[i]; ++k) {
        const std::int64_t at = o * w.stride[i] - before + k * w.dilation[i];
        inside += counts ? at < size + after : at >= 0 && at < size;
      }
      axis.push_back(1.0F / static_cast<float>(inside));
    }
    std::vector<float> product;
    for (const float a : shares)
      for (const float s : axis) product.push_back(a * s);
    shares = std::move(product);
    out.push_back(last + 1);
    kernel.push_back(w.kernel[i]);
    ends.insert(ends.end(), {before, std::max<std::int64_t>(last * w.stride[i] + extent - size - before, 0)});
  }
  const DType type = b.type(x).dtype;
  const std::vector<float> ones(static_cast<std::size_t>(element_count(kernel)), 1.0F);
  const ValueId sum = b(fmt::format("conv{}d", w.kernel.size()), {x, b.constant(Tensor::from(ones, kernel).cast(type)), absent},
                        {{"stride", w.stride}, {"padding", ends}, {"dilation", w.dilation}, {"groups", in[1]}});
  return b("mul", {sum, b.constant(Tensor::from(shares, out).cast(type))});
}

// With uneven padding the sum is divided by what lies under the window: by the average of ones.
std::vector<ValueId> convert_onnx_average(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const OnnxWindows w = onnx_windows(b, n);
  if (w.gaps()) return {dilated_average(b, n, x, w)};
  const bool counts = flag(n, "count_include_pad", false);
  const std::string op = fmt::format("avg_pool{}d", w.kernel.size());
  if (w.even())
    return {b(
        op, {x},
        {{"kernel_size", w.kernel}, {"stride", w.stride}, {"padding", w.padding()}, {"ceil_mode", w.ceil}, {"count_include_pad", counts}})};
  const auto average = [&](ValueId v) {
    return b(op, {padded(b, v, w, 0)}, {{"kernel_size", w.kernel}, {"stride", w.stride}, {"ceil_mode", w.ceil}});
  };
  if (counts) return {average(x)};
  Sizes one = onnx::static_shape(b, n, x);
  one[0] = one[1] = 1;
  const ValueId share = average(b("full", {}, {{"size", one}, {"fill_value", 1.0}, {"dtype", b.type(x).dtype}}));
  return {b("div", {average(x), share})};
}

// (sum of |x|^p)^(1/p): an average times the window's size.
std::vector<ValueId> convert_onnx_lp(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const DType type = b.type(x).dtype;
  const OnnxWindows w = onnx_windows(b, n);
  const double p = number(n, "p", 2);
  double size = 1;
  for (const std::int64_t k : w.kernel) size *= static_cast<double>(k);
  OnnxWindows whole = w;
  const Sizes in = onnx::static_shape(b, n, x);
  for (std::size_t i = 0; i < w.kernel.size() && w.ceil; ++i) {  // what a last window reaches beyond
    const std::int64_t extent = w.dilation[i] * (w.kernel[i] - 1) + 1, room = in[i + 2] + w.pads[i].first + w.pads[i].second - extent;
    whole.pads[i].second += (room + w.stride[i] - 1) / w.stride[i] * w.stride[i] - room;
  }
  const ValueId powers = p == 2 ? b("square", {x}) : b("pow", {b("abs", {x}), b.scalar(p, type)});
  const ValueId wide = padded(b, powers, whole, 0);
  ValueId mean = absent;
  if (!w.gaps()) {
    mean = b(fmt::format("avg_pool{}d", w.kernel.size()), {wide}, {{"kernel_size", w.kernel}, {"stride", w.stride}});
  } else {
    whole.pads.assign(w.kernel.size(), {0, 0});
    whole.ceil = false;
    mean = dilated_average(b, n, wide, whole);
  }
  const ValueId sum = b("mul", {mean, b.scalar(size, type)});
  return {p == 2 ? b("sqrt", {sum}) : b("pow", {sum, b.scalar(1 / p, type)})};
}

std::vector<ValueId> convert_onnx_global_lp(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const DType type = b.type(x).dtype;
  const double p = number(n, "p", 2);
  Ints axes;
  for (std::int64_t i = 2; i < onnx::rank(b, x); ++i) axes.push_back(i);
  const ValueId sum = b("sum", {b("pow", {b("abs", {x}), b.scalar(p, type)})}, {{"dim", axes}, {"keepdim", true}});
  return {b("pow", {sum, b.scalar(1 / p, type)})};
}

}  // namespace

ForeignMap max_map() { return {.target = "MaxPool", .convert = convert_onnx_max}; }
std::vector<ForeignMap> average_maps() {
  return {{.target = "AveragePool", .convert = convert_onnx_average},
          {.target = "LpPool", .convert = convert_onnx_lp},
          {.target = "GlobalLpPool", .convert = convert_onnx_global_lp}};
}

}  // namespace wherry::ops::onnx_pool
