#include "ops/torch_resize.h"

#include "ops/foreign.h"
#include "ops/resize_axis.h"

#include <fmt/format.h>

#include <cmath>

namespace wherry::ops::torch_resize {

namespace {

using resize::Row;

enum class Mode { nearest, nearest_exact, linear, cubic };

struct Rule {
  Mode mode = Mode::nearest;
  bool aligned = false, antialias = false;
};

struct Axis {
  std::int64_t in = 0, out = 0;
  std::optional<double> factor;
};

// What one step of the result is on the input, in float32 as PyTorch has it.
float step_of(const Axis& a, const Rule& r) {
  if (r.aligned) return a.out > 1 ? static_cast<float>(a.in - 1) / static_cast<float>(a.out - 1) : 0.0F;
  return a.factor && *a.factor > 0 ? static_cast<float>(1.0 / *a.factor) : static_cast<float>(a.in) / static_cast<float>(a.out);
}

double kernel_at(double distance, const Rule& r) {
  if (r.mode == Mode::linear) return resize::linear_kernel(distance);
  return resize::cubic_kernel(distance, r.antialias ? -0.5 : -0.75);
}

// The kernel is as wide as an element of the result; what lies outside does not count.
Row antialiased(std::int64_t o, const Axis& a, const Rule& r) {
  Row row;
  const float step = step_of(a, r), wide = std::max(step, 1.0F);
  const float center = step * (static_cast<float>(o) + 0.5F), reach = (r.mode == Mode::linear ? 1.0F : 2.0F) * wide;
  const auto begin = std::max<std::int64_t>(static_cast<std::int64_t>(center - reach + 0.5F), 0);
  const auto end = std::min<std::int64_t>(static_cast<std::int64_t>(center + reach + 0.5F), a.in);
  for (std::int64_t i = begin; i < end; ++i) row[i] = kernel_at((static_cast<double>(i) + 0.5 - center) / wide, r);
  resize::normalise(row);
  return row;
}

Row row_of(std::int64_t o, const Axis& a, const Rule& r) {
  if (r.antialias) return antialiased(o, a, r);
  Row row;
  const auto weight = [&](std::int64_t i) -> double& { return row[std::clamp<std::int64_t>(i, 0, a.in - 1)]; };
  const float step = step_of(a, r), at = static_cast<float>(o);
  float place = r.aligned || r.mode == Mode::nearest ? at * step : step * (at + 0.5F) - 0.5F;
  if (r.mode != Mode::cubic) place = std::max(place, 0.0F);
  if (r.mode == Mode::nearest_exact) place += 0.5F;
  const auto low = std::min(static_cast<std::int64_t>(std::floor(place)), a.in - 1);
  if (r.mode == Mode::nearest || r.mode == Mode::nearest_exact) {
    weight(low) = 1;
    return row;
  }
  const double share = std::clamp(place - static_cast<float>(low), 0.0F, 1.0F);
  const std::int64_t before = r.mode == Mode::cubic ? 1 : 0;
  for (std::int64_t k = -before; k <= 1 + before; ++k) weight(low + k) += kernel_at(share - static_cast<double>(k), r);
  return row;
}

std::vector<Row> rows_of(const Axis& a, const Rule& r) {
  std::vector<Row> rows;
  for (std::int64_t o = 0; o < a.out; ++o) rows.push_back(row_of(o, a, r));
  return rows;
}

// ---- reading --------------------------------------------------------------------------------------------------------

// ".vec" takes a list, ".default" each axis's own.
std::vector<std::optional<double>> factors_of(const ForeignNode& n, std::size_t count) {
  static constexpr std::string_view own[] = {"scales_d", "scales_h", "scales_w"};
  std::vector<std::optional<double>> factors(count);
  if (const Attr* given = n.attr("scale_factors"))
    if (const std::optional<Attr> list = coerce(*given, AttrKind::numbers))
      for (std::size_t i = 0; i < count; ++i) factors[i] = std::get<Floats>(*list).at(i);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view name = count == 1 ? "scales" : own[3 - count + i];
    if (given(n, name)) factors[i] = number(n, name);
    if (factors[i] && !(*factors[i] > 0 && *factors[i] < 1e6))
      refuse(n, fmt::format("'{}' by the factor {}, expected one above 0", n.target, *factors[i]));
  }
  return factors;
}

std::vector<Axis> axes_of(Builder& b, const ForeignNode& n, ValueId x) {
  const auto count = static_cast<std::size_t>(n.target[n.target.find_first_of("123")] - '0');
  const Type& type = b.type(x);
  if (type.shape.size() != count + 2) refuse(n, fmt::format("'{}' of {}, expected rank {}", n.target, text(type), count + 2));
  const Ints size = given(n, "output_size") ? ints(n, "output_size") : Ints{};
  const std::vector<std::optional<double>> factors = factors_of(n, count);
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < count; ++i) {
    const Dim& in = type.shape[i + 2];
    if (!in.known())
      fail({.code = "E504",
            .message = fmt::format("'{}' needs a size for each axis that it resizes, not {}", n.target, in.text()),
            .at = n.path,
            .in = fmt::format("x: {}", text(type)),
            .next = "export the model with fixed sizes for these axes"});
    if (size.empty() && !factors[i]) refuse(n, fmt::format("'{}' says neither a size nor a factor", n.target));
    const std::int64_t out = !size.empty() ? size.at(i) : static_cast<std::int64_t>(static_cast<double>(in.size()) * *factors[i]);
    if (in.size() < 1 || out < 1 || out > (std::int64_t{1} << 24))
      refuse(n, fmt::format("'{}' of an axis of {} to {}", n.target, in.size(), out));
    axes.push_back({.in = in.size(), .out = out, .factor = factors[i]});
  }
  return axes;
}

Rule rule_of(const ForeignNode& n) {
  const auto has = [&](std::string_view part) { return n.target.find(part) != std::string::npos; };
  const Mode mode = has("nearest_exact") ? Mode::nearest_exact : has("nearest") ? Mode::nearest : has("cubic") ? Mode::cubic : Mode::linear;
  return {.mode = mode, .aligned = flag(n, "align_corners", false), .antialias = has("_aa.")};
}

// By whole factors nearest-exact takes the elements that nearest does.
bool same_as_nearest(const std::vector<Axis>& axes, const Rule& r) {
  return r.mode == Mode::nearest_exact && axes.size() < 3 && std::all_of(axes.begin(), axes.end(), [&](const Axis& a) {
           return rows_of(a, r) == rows_of({.in = a.in, .out = a.out, .factor = {}}, {.mode = Mode::nearest});
         });
}

std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  ValueId x = n.value(n.target.ends_with(".vec") ? "input" : "self");
  const std::vector<Axis> axes = axes_of(b, n, x);
  const Rule rule = rule_of(n);
  if (is_float(b.type(x).dtype) && same_as_nearest(axes, rule)) {
    Ints size;
    for (const Axis& a : axes) size.push_back(a.out);
    return {b("interpolate", {x}, {{"size", size}})};
  }
  for (std::size_t i = 0; i < axes.size(); ++i) x = resize::along(b, x, static_cast<std::int64_t>(i) + 2, rows_of(axes[i], rule));
  return {x};
}

}  // namespace

std::vector<ForeignMap> maps() {
  static constexpr std::string_view targets[] = {"aten.upsample_bicubic2d.vec",        "aten.upsample_bicubic2d.default",
                                                 "aten._upsample_nearest_exact1d.vec", "aten._upsample_nearest_exact1d.default",
                                                 "aten._upsample_nearest_exact2d.vec", "aten._upsample_nearest_exact2d.default",
                                                 "aten._upsample_nearest_exact3d.vec", "aten._upsample_nearest_exact3d.default",
                                                 "aten.upsample_nearest3d.vec",        "aten.upsample_nearest3d.default",
                                                 "aten.upsample_trilinear3d.vec",      "aten.upsample_trilinear3d.default",
                                                 "aten._upsample_bilinear2d_aa.vec",   "aten._upsample_bilinear2d_aa.default",
                                                 "aten._upsample_bicubic2d_aa.vec",    "aten._upsample_bicubic2d_aa.default"};
  std::vector<ForeignMap> maps;
  for (const std::string_view target : targets) maps.push_back({.target = target, .convert = convert});
  return maps;
}

}  // namespace wherry::ops::torch_resize
