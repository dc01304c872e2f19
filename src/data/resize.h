// Pillow's resampling, bit for bit: filter weights in 22-bit fixed point, a horizontal and then a vertical pass of eight bits; the
// other way round where the height loses more than twice the pixels that the width loses, as Pillow 13 does (older ones never do).
// Algorithm: Pillow's Image.resize (libImaging/Resample.c; for nearest, the affine transform of Geometry.c).
#pragma once

#include "data/images.h"

#include <optional>
#include <string_view>

namespace wherry {

enum class Filter { nearest, box, bilinear, hamming, bicubic, lanczos };
std::optional<Filter> parse_filter(std::string_view name);

// A part of an image: `width` by `height` pixels from (left, top).
struct Area {
  int left = 0, top = 0, width = 0, height = 0;
};

// The part `area` of the image resized to width by height: the same pixels as resizing the whole and cropping, without computing
// the rest. Needs: positive sizes, `area` inside the result.
Image resize(const Image& image, int width, int height, Filter filter, const Area& area);
Image resize(const Image& image, int width, int height, Filter filter);

}  // namespace wherry
