#include "data/resize.h"

#include "base/check.h"
#include "base/simd.h"
#include "data/resample.h"

#include <numbers>

namespace wherry {

namespace {

struct Kernel {
  double support;
  double (*weight)(double x);
};

double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }
double triangle(double x) { return std::abs(x) < 1 ? 1 - std::abs(x) : 0; }
double hamming(double x) {
  x = std::abs(x);
  if (x == 0) return 1;
  if (x >= 1) return 0;
  x *= std::numbers::pi;
  return std::sin(x) / x * (0.54F + 0.46F * std::cos(x));
}
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}
double sinc(double x) { return x == 0 ? 1 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi); }
double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box: return {0.5, box};
    case Filter::bilinear: return {1, triangle};
    case Filter::hamming: return {1, hamming};
    case Filter::bicubic: return {2, cubic};
    case Filter::lanczos: return {3, lanczos};
    case Filter::nearest: break;
  }
  WHERRY_CHECK(false, "nearest has no kernel");
}

Taps taps_of(int in, int out, int from, int count, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / out, stretch = std::max(scale, 1.0), support = kernel.support * stretch;
  Taps taps{.ranges = {}, .weights = {}, .width = static_cast<std::size_t>(std::ceil(support)) * 2 + 1};
  taps.weights.resize(taps.width * static_cast<std::size_t>(count));
  std::vector<double> exact(taps.width);
  for (int i = 0; i < count; ++i) {
    const double center = (from + i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), in);
    double sum = 0;
    for (int k = 0; k < end - first; ++k)
      sum += exact[static_cast<std::size_t>(k)] = kernel.weight((k + first - center + 0.5) * (1.0 / stretch));
    for (int k = 0; k < end - first; ++k) {
      double weight = exact[static_cast<std::size_t>(k)];
      if (sum != 0) weight *= 1 / sum;
      taps.weights[static_cast<std::size_t>(i) * taps.width + static_cast<std::size_t>(k)] =
          static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << Taps::precision));
    }
    taps.ranges.push_back({first, end - first});
  }
  return taps;
}

// `left`: which column of the whole the image begins with.
Image horizontal(const Image& image, const Taps& taps, int left) {
  Image out{static_cast<int>(taps.ranges.size()), image.height, {}};
  out.rgb.resize(out.stride() * static_cast<std::size_t>(image.height));
  resample_rows(image.rgb.data(), out.rgb.data(), static_cast<std::size_t>(image.height), static_cast<std::size_t>(image.width), taps,
                left);
  return out;
}

// `top`: which row of the whole the image begins with.
Image vertical(const Image& image, const Taps& taps, int top) {
  Image out{image.width, static_cast<int>(taps.ranges.size()), {}};
  out.rgb.resize(out.stride() * taps.ranges.size());
  std::vector<std::int32_t> sums(out.stride());
  vectorised([&] {
    for (std::size_t y = 0; y < taps.ranges.size(); ++y) {
      std::fill(sums.begin(), sums.end(), Taps::half);
      for (int k = 0; k < taps.ranges[y].count; ++k) {
        const std::int32_t weight = taps.weights[y * taps.width + static_cast<std::size_t>(k)];
        const std::uint8_t* row = image.rgb.data() + static_cast<std::size_t>(taps.ranges[y].first - top + k) * image.stride();
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += row[i] * weight;
      }
      std::uint8_t* to = out.rgb.data() + y * out.stride();
      for (std::size_t i = 0; i < sums.size(); ++i) to[i] = Taps::colour(sums[i]);
    }
  });
  return out;
}

Image nearest(const Image& image, int width, int height, const Area& area) {
  // Steps are added up as Pillow adds them: a product would round elsewhere.
  const auto places = [](int in, int out, int from, int count) {
    std::vector<std::size_t> list;
    const double step = static_cast<double>(in) / out;
    double at = step * 0.5;
    for (int i = 0; i < from + count; ++i, at += step)
      if (i >= from) list.push_back(static_cast<std::size_t>(std::min(static_cast<int>(at), in - 1)));
    return list;
  };
  const std::vector<std::size_t> columns = places(image.width, width, area.left, area.width),
                                 rows = places(image.height, height, area.top, area.height);
  Image out{area.width, area.height, {}};
  out.rgb.reserve(out.stride() * rows.size());
  for (const std::size_t y : rows)
    for (const std::size_t x : columns)
      for (std::size_t c = 0; c < 3; ++c) out.rgb.push_back(image.rgb[y * image.stride() + x * 3 + c]);
  return out;
}

Image cut(const Image& image, const Area& area) {
  Image out{area.width, area.height, {}};
  out.rgb.reserve(out.stride() * static_cast<std::size_t>(area.height));
  for (int y = 0; y < area.height; ++y) {
    const std::uint8_t* row =
        image.rgb.data() + static_cast<std::size_t>(area.top + y) * image.stride() + static_cast<std::size_t>(area.left) * 3;
    out.rgb.insert(out.rgb.end(), row, row + out.stride());
  }
  return out;
}

}  // namespace

std::optional<Filter> parse_filter(std::string_view name) {
  static constexpr std::string_view names[] = {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"};
  const auto* found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<Filter>(found - std::begin(names));
}

Image resize(const Image& image, int width, int height, Filter filter, const Area& area) {
  WHERRY_CHECK(area.left >= 0 && area.top >= 0 && area.left + area.width <= width && area.top + area.height <= height,
               "an area of {} x {} at ({}, {}) of {} x {}", area.width, area.height, area.left, area.top, width, height);
  if (image.width == width && image.height == height) return cut(image, area);
  if (filter == Filter::nearest) return nearest(image, width, height, area);
  const Kernel kernel = kernel_of(filter);
  const bool by_columns = image.width != width, by_rows = image.height != height;
  const Taps columns = by_columns ? taps_of(image.width, width, area.left, area.width, kernel) : Taps{};
  const Taps rows = by_rows ? taps_of(image.height, height, area.top, area.height, kernel) : Taps{};
  const auto span = [](const Taps& taps) {
    return std::pair(taps.ranges.front().first, taps.ranges.back().first + taps.ranges.back().count);
  };
  const auto [left, right] = by_columns ? span(columns) : std::pair(area.left, area.left + area.width);
  const auto [top, bottom] = by_rows ? span(rows) : std::pair(area.top, area.top + area.height);
  Image part = cut(image, {left, top, right - left, bottom - top});
  const bool rows_first = by_rows && height < image.height && image.height - height > 2 * (image.width - width);
  if (rows_first) part = vertical(part, rows, top);
  if (by_columns) part = horizontal(part, columns, left);
  if (by_rows && !rows_first) part = vertical(part, rows, top);
  return part;
}

Image resize(const Image& image, int width, int height, Filter filter) {
  return resize(image, width, height, filter, {0, 0, width, height});
}

}  // namespace wherry
