#include "data/apply_preprocess.h"

#include "base/check.h"

#include <cstring>
#include <limits>

namespace wherry {

namespace {

struct Size {
  int width, height;
};

Size resized(const Image& image, const Preprocess& p) {
  if (!p.resize.empty()) return {p.resize[1], p.resize[0]};
  if (p.shorter_side == 0) return {image.width, image.height};
  const auto longer = [&](int long_side, int short_side) {
    return std::max(1, static_cast<int>(static_cast<std::int64_t>(p.shorter_side) * long_side / short_side));
  };
  if (image.width <= image.height) return {p.shorter_side, longer(image.height, image.width)};
  return {longer(image.width, image.height), p.shorter_side};
}

// How far the crop begins from the edge: half of what is left over; halves go to even, as Python's round() has them, or down.
int margin(int have, int wanted, bool down) {
  const double half = (have - wanted) / 2.0;
  return static_cast<int>(down ? std::floor(half) : std::nearbyint(half));
}

// The image in the middle of black; the odd pixel goes behind.
Image padded(Image image, int width, int height) {
  const int wide = std::max(width, image.width), high = std::max(height, image.height);
  if (wide == image.width && high == image.height) return image;
  Image out{wide, high, {}};
  out.rgb.resize(out.stride() * static_cast<std::size_t>(high));
  const auto left = static_cast<std::size_t>((wide - image.width) / 2), top = static_cast<std::size_t>((high - image.height) / 2);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y)
    std::memcpy(out.rgb.data() + (top + y) * out.stride() + left * 3, image.rgb.data() + y * image.stride(), image.stride());
  return out;
}

template <class T>
T to_integer(double value, const PixelForm& form) {
  const double level = form.scale
                           ? std::round(static_cast<double>(static_cast<float>(value)) / *form.scale) + static_cast<double>(form.zero_point)
                           : std::round(value);
  return static_cast<T>(
      std::clamp(level, static_cast<double>(std::numeric_limits<T>::min()), static_cast<double>(std::numeric_limits<T>::max())));
}

// Calls f with a number of the C++ type that holds the form's elements.
template <class F>
void with_element(DType dtype, F f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::int8: return f(std::int8_t{});
    case DType::uint8: return f(std::uint8_t{});
    case DType::int16: return f(std::int16_t{});
    case DType::uint16:
    case DType::float16:
    case DType::bfloat16: return f(std::uint16_t{});
    case DType::int32: return f(std::int32_t{});
    default: break;
  }
  fail({.code = "E806", .message = fmt::format("an image cannot be given as {}", name(dtype))});
}

template <class T>
void spread(const Image& image, const T* table, bool channels_last, T* out) {
  const std::size_t pixels = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  const std::uint8_t* from = image.rgb.data();
  if (channels_last) {
    for (std::size_t i = 0; i < pixels; ++i, from += 3, out += 3)
      out[0] = table[from[0]], out[1] = table[256 + from[1]], out[2] = table[512 + from[2]];
  } else {
    for (std::size_t i = 0; i < pixels; ++i, from += 3)
      out[i] = table[from[0]], out[pixels + i] = table[256 + from[1]], out[2 * pixels + i] = table[512 + from[2]];
  }
}

}  // namespace

Image apply_geometry(const Image& image, const Preprocess& p) {
  const Size size = resized(image, p);
  const std::optional<Filter> filter = parse_filter(p.filter);
  WHERRY_CHECK(filter, "a filter '{}'", p.filter);
  Image out;
  if (p.crop.empty()) {
    out = resize(image, size.width, size.height, *filter);
  } else {
    const int height = p.crop[0], width = p.crop[1];
    const Area whole = {std::max(margin(size.width, width, p.crop_down), 0), std::max(margin(size.height, height, p.crop_down), 0),
                        std::min(width, size.width), std::min(height, size.height)};
    out = padded(resize(image, size.width, size.height, *filter, whole), width, height);
  }
  if (p.colours == "bgr")
    for (std::size_t i = 0; i + 2 < out.rgb.size(); i += 3) std::swap(out.rgb[i], out.rgb[i + 2]);
  return out;
}

bool same_geometry(const Preprocess& a, const Preprocess& b) {
  return a.shorter_side == b.shorter_side && a.resize == b.resize && a.filter == b.filter && a.crop == b.crop &&
         a.crop_down == b.crop_down && a.colours == b.colours;
}

double normalised(const Preprocess& p, std::size_t channel, double level) {
  const auto of = [&](const std::vector<double>& list, double none) {
    return list.empty() ? none : list[std::min(channel, list.size() - 1)];
  };
  return (level * p.scale - of(p.mean, 0)) / of(p.std, 1);
}

PixelTable::PixelTable(const Preprocess& preprocess, const PixelForm& form) : form_(form) {
  with_element(form.dtype, [&](auto element) {
    using T = decltype(element);
    std::vector<T> values;
    const bool takes_levels = (form.dtype == DType::uint8 || form.dtype == DType::int8) && !form.scale;
    for (std::size_t channel = 0; channel < 3; ++channel)
      for (int level = 0; level < 256; ++level) {
        const double value = takes_levels ? level : normalised(preprocess, channel, level);
        if constexpr (std::is_same_v<T, float>)
          values.push_back(static_cast<float>(value));
        else if (is_float(form.dtype))
          std::memcpy(&values.emplace_back(), Tensor::scalar(value).cast(form.dtype).data(), sizeof(T));
        else
          values.push_back(to_integer<T>(takes_levels && form.dtype == DType::int8 ? value - 128 : value, form));
      }
    table_.resize(values.size() * sizeof(T));
    std::memcpy(table_.data(), values.data(), table_.size());
  });
}

Tensor PixelTable::apply(const Image& image) const {
  const Sizes sizes = form_.channels_last ? Sizes{1, image.height, image.width, 3} : Sizes{1, 3, image.height, image.width};
  Tensor out = Tensor::allocate(form_.dtype, sizes);
  with_element(form_.dtype, [&](auto element) {
    using T = decltype(element);
    spread(image, reinterpret_cast<const T*>(table_.data()), form_.channels_last, reinterpret_cast<T*>(out.mutable_data()));
  });
  return out;
}

}  // namespace wherry
