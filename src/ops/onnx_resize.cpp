#include "ops/onnx_resize.h"

#include "ops/infer.h"
#include "ops/onnx.h"
#include "ops/resize_axis.h"

#include <cmath>

namespace wherry::ops::onnx_resize {

namespace {

struct Axis {
  std::int64_t in = 0, out = 0;
  double scale = 1;         // out / in as the model says it
  double from = 0, to = 1;  // tf_crop_and_resize: the part of the axis that is resized
};

struct Modes {
  std::string interpolation, coordinates, nearest;
  double cubic = -0.75, outside = 0;
  bool exclude_outside = false, antialias = false;
};

// Where output position `o` lies on the input (onnx.ai/onnx/operators/onnx__Resize.html).
double place_of(std::int64_t o, const Axis& a, const Modes& m) {
  const auto at = static_cast<double>(o), in = static_cast<double>(a.in);
  const double out = a.scale * in;  // not rounded: factors leave a part over
  if (m.coordinates == "asymmetric") return at / a.scale;
  if (m.coordinates == "align_corners") return out == 1 ? 0 : at * (in - 1) / (out - 1);
  if (m.coordinates == "pytorch_half_pixel") return a.out == 1 ? -0.5 : (at + 0.5) / a.scale - 0.5;
  if (m.coordinates == "tf_half_pixel_for_nn") return (at + 0.5) / a.scale;
  if (m.coordinates == "tf_crop_and_resize")
    return a.out > 1 ? a.from * (in - 1) + at * (a.to - a.from) * (in - 1) / (out - 1) : 0.5 * (a.from + a.to) * (in - 1);
  if (m.coordinates == "half_pixel_symmetric") {
    const double shift = in / 2 * (1 - static_cast<double>(a.out) / out);
    return shift + (at + 0.5) / a.scale - 0.5;
  }
  return (at + 0.5) / a.scale - 0.5;
}

double rounded(double x, const std::string& mode) {
  if (mode == "floor") return std::floor(x);
  if (mode == "ceil") return std::ceil(x);
  return mode == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

double kernel_at(double distance, const Modes& m) {
  return m.interpolation == "linear" ? resize::linear_kernel(distance) : resize::cubic_kernel(distance, m.cubic);
}

resize::Row row_of(std::int64_t o, const Axis& a, const Modes& m) {
  resize::Row row;
  const double place = place_of(o, a, m);
  const auto clamped = [&](double i) { return static_cast<std::int64_t>(std::clamp(i, 0.0, static_cast<double>(a.in - 1))); };
  if (m.interpolation == "nearest") {
    row[clamped(rounded(place, m.nearest))] = 1;
    return row;
  }
  const double narrowed = m.antialias ? std::min(a.scale, 1.0) : 1;  // against aliases the kernel is as wide as an output element
  const double reach = (m.interpolation == "linear" ? 1 : 2) / narrowed;
  for (double i = std::floor(place - reach); i <= std::ceil(place + reach); ++i) {
    const bool outside = i < 0 || i >= static_cast<double>(a.in);
    if (outside && m.exclude_outside) continue;
    row[clamped(i)] += kernel_at((place - i) * narrowed, m);
  }
  if (m.exclude_outside || m.antialias) resize::normalise(row);
  return row;
}

ValueId along(Builder& b, ValueId x, std::int64_t axis, const Axis& a, const Modes& m) {
  std::vector<resize::Row> rows;
  for (std::int64_t o = 0; o < a.out; ++o) rows.push_back(row_of(o, a, m));
  return resize::along(b, x, axis, rows);
}

// tf_crop_and_resize: what lies outside the input has a value of its own.
ValueId outside_filled(Builder& b, ValueId y, std::int64_t axis, const Axis& a, const Modes& m) {
  Tensor inside = Tensor::allocate(DType::boolean, {a.out});
  bool all = true;
  for (std::int64_t o = 0; o < a.out; ++o) {
    const double place = place_of(o, a, m);
    const bool in = place >= 0 && place <= static_cast<double>(a.in - 1);
    inside.mutable_as<std::uint8_t>()[static_cast<std::size_t>(o)] = in;
    all = all && in;
  }
  if (all) return y;
  Sizes shape(static_cast<std::size_t>(onnx::rank(b, y) - axis), 1);
  shape[0] = a.out;
  return b("where", {b.constant(inside.reshaped(shape)), y, b.scalar(m.outside, b.type(y).dtype)});
}

// What PyTorch's interpolate says in one operator.
std::optional<ValueId> as_interpolate(Builder& b, ValueId x, const std::vector<Axis>& axes, const Modes& m, bool by_scale) {
  const std::size_t rank = axes.size();
  const bool images = (rank == 3 || rank == 4) && axes[0].in == axes[0].out && axes[1].in == axes[1].out && is_float(b.type(x).dtype);
  const bool nearest = m.interpolation == "nearest" && m.coordinates == "asymmetric" && m.nearest == "floor";
  const bool aligned = m.interpolation == "linear" && m.coordinates == "align_corners";
  const bool halves = m.interpolation == "linear" && m.coordinates.ends_with("half_pixel");
  bool whole = true;
  for (const Axis& a : axes) whole = whole && static_cast<double>(a.out) == a.scale * static_cast<double>(a.in);
  if (aligned && !whole) return std::nullopt;
  if (!images || m.exclude_outside || m.antialias || !(nearest || aligned || halves)) return std::nullopt;
  Ints size;
  Floats factors;
  for (std::size_t i = 2; i < rank; ++i) {
    if (m.coordinates == "pytorch_half_pixel" && axes[i].out == 1) return std::nullopt;
    size.push_back(axes[i].out);
    factors.push_back(axes[i].scale);
  }
  const std::string mode = nearest ? "nearest" : rank == 3 ? "linear" : "bilinear";
  std::vector<NamedAttr> attrs = {{"mode", mode}, {"align_corners", aligned}};
  bool exact = true;  // the factors alone give these sizes
  for (std::size_t i = 2; i < rank; ++i)
    exact = exact && static_cast<std::int64_t>(std::floor(static_cast<double>(axes[i].in) * axes[i].scale)) == axes[i].out;
  if (by_scale) attrs.push_back({"scale_factor", factors});
  if (!by_scale || !exact) attrs.push_back({"size", size});
  return b("interpolate", {x}, std::move(attrs));
}

ValueId resized(Builder& b, ValueId x, const std::vector<Axis>& axes, const Modes& m, bool by_scale) {
  if (const std::optional<ValueId> y = as_interpolate(b, x, axes, m, by_scale)) return *y;
  const DType type = b.type(x).dtype;
  ValueId y = is_float(type) || m.interpolation == "nearest" ? x : cast(b, x, DType::float32);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis& a = axes[i];
    const bool idle = a.in == a.out && a.scale == 1 && (m.coordinates != "tf_crop_and_resize" || (a.from == 0 && a.to == 1));
    if (!idle) y = along(b, y, static_cast<std::int64_t>(i), a, m);
  }
  if (m.coordinates == "tf_crop_and_resize")
    for (std::size_t i = 0; i < axes.size(); ++i) y = outside_filled(b, y, static_cast<std::int64_t>(i), axes[i], m);
  return y == x ? b("identity", {x}) : cast(b, y, type);
}

// Sizes, or factors, for the axes that are named. With a policy one factor serves all.
std::vector<Axis> axes_of(Builder& b, const ForeignNode& n, const std::optional<Floats>& scales, const std::optional<Ints>& sizes) {
  const Sizes shape = onnx::static_shape(b, n, onnx::required(n, 0));
  std::vector<Axis> axes;
  for (const std::int64_t size : shape) axes.push_back({.in = size, .out = size});
  Ints named = ints(n, "axes", Ints{});
  if (named.empty())
    for (std::size_t i = 0; i < shape.size(); ++i) named.push_back(static_cast<std::int64_t>(i));
  const std::size_t count = sizes ? sizes->size() : scales ? scales->size() : 0;
  if (count != named.size()) refuse(n, fmt::format("'{}' has {} sizes or scales for {} axes", n.target, count, named.size()));
  const auto axis_at = [&](std::size_t i) -> Axis& {
    return axes[static_cast<std::size_t>(infer::axis(named[i], static_cast<int>(shape.size())))];
  };
  const std::string policy = word(n, "keep_aspect_ratio_policy", "stretch");
  double common = policy == "not_larger" ? 1e300 : 0;
  for (std::size_t i = 0; sizes && i < named.size(); ++i) {
    const double ratio = static_cast<double>((*sizes)[i]) / static_cast<double>(axis_at(i).in);
    common = policy == "not_larger" ? std::min(common, ratio) : std::max(common, ratio);
  }
  for (std::size_t i = 0; i < named.size(); ++i) {
    Axis& a = axis_at(i);
    if (sizes && policy == "stretch") {
      a.out = (*sizes)[i];
      a.scale = static_cast<double>(a.out) / static_cast<double>(a.in);
    } else {
      a.scale = sizes ? common : (*scales)[i];
      const double out = static_cast<double>(a.in) * a.scale;
      a.out = static_cast<std::int64_t>(sizes ? std::floor(out + 0.5) : std::floor(out + 1e-6));
    }
    if (a.out <= 0 || a.out > (std::int64_t{1} << 24) || a.in <= 0)
      refuse(n, fmt::format("'{}' of an axis of {} to {}", n.target, a.in, a.out));
  }
  return axes;
}

// since 11: x, roi, scales, sizes.
std::vector<ValueId> convert_resize(Builder& b, const ForeignNode& n) {
  const auto list = [](auto given) { return given && given->empty() ? std::nullopt : given; };
  const std::optional<Floats> scales = list(onnx::fixed_numbers(b, n, 2, "scales"));
  const std::optional<Ints> sizes = list(onnx::fixed_ints(b, n, 3, "sizes"));
  std::vector<Axis> axes = axes_of(b, n, scales, sizes);
  const Modes modes{.interpolation = word(n, "mode", "nearest"),
                    .coordinates = word(n, "coordinate_transformation_mode", "half_pixel"),
                    .nearest = word(n, "nearest_mode", "round_prefer_floor"),
                    .cubic = number(n, "cubic_coeff_a", -0.75),
                    .outside = number(n, "extrapolation_value", 0),
                    .exclude_outside = flag(n, "exclude_outside", false),
                    .antialias = flag(n, "antialias", false)};
  if (modes.interpolation != "nearest" && modes.interpolation != "linear" && modes.interpolation != "cubic")
    refuse(n, fmt::format("mode '{}' of 'Resize' is not known", modes.interpolation));
  if (modes.coordinates == "tf_crop_and_resize") {
    const Floats roi = onnx::fixed_numbers(b, n, 1, "roi").value_or(Floats{});
    Ints named = ints(n, "axes", Ints{});
    if (named.empty())
      for (std::size_t i = 0; i < axes.size(); ++i) named.push_back(static_cast<std::int64_t>(i));
    if (roi.size() != 2 * named.size()) refuse(n, fmt::format("'Resize' has a roi of {} numbers for {} axes", roi.size(), named.size()));
    for (std::size_t i = 0; i < named.size(); ++i) {
      Axis& a = axes[static_cast<std::size_t>(infer::axis(named[i], static_cast<int>(axes.size())))];
      a.from = roi[i], a.to = roi[i + named.size()];
    }
  }
  return {resized(b, onnx::required(n, 0), axes, modes, scales.has_value())};
}

// Upsample and Resize of opset 10: factors as attribute or input 1; positions from the corner, nearest below.
std::vector<ValueId> convert_upsample(Builder& b, const ForeignNode& n) {
  const std::optional<Floats> scales = onnx::fixed_numbers(b, n, 1, "scales");
  const std::string mode = word(n, "mode", "nearest");
  const Modes modes{.interpolation = mode == "bilinear" ? "linear" : mode, .coordinates = "asymmetric", .nearest = "floor"};
  if (modes.interpolation != "nearest" && modes.interpolation != "linear")
    refuse(n, fmt::format("mode '{}' of '{}' is not known", mode, n.target));
  return {resized(b, onnx::required(n, 0), axes_of(b, n, scales, std::nullopt), modes, true)};
}

}  // namespace

std::vector<ForeignMap> maps() {
  return {{.target = "Upsample", .convert = convert_upsample},
          {.target = "Resize", .since = 10, .convert = convert_upsample},
          {.target = "Resize", .since = 11, .convert = convert_resize}};
}

}  // namespace wherry::ops::onnx_resize
