// Photographs as the models see them: eight bits, red, green, blue.
#pragma once

#include "base/diagnostics.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace wherry {

struct Image {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;  // rows from the top, three bytes a pixel

  std::size_t stride() const { return static_cast<std::size_t>(width) * 3; }
};

// JPEG, PNG or WebP (the first frame), by content. The pixels are those of Pillow's ImageOps.exif_transpose(image).convert("RGB"):
// turned upright as EXIF says, grey repeated, palettes looked up, CMYK mixed, alpha dropped, 16 bits cut to the upper eight.
// Fails with E802: a truncated or damaged file, another format, 16-bit grey (which Pillow clips). `name` stands for it in messages.
Image decode_image(std::span<const std::byte> file, const std::string& name);
Image read_image(const std::filesystem::path& file);  // E101 too

// Baseline JPEG of quality 85: thumbnails for reports.
std::string encode_jpeg(const Image& image);

// Whether the name ends as an image's does. The second: also formats that decode_image refuses (.gif, .bmp, .tif …).
bool is_image_name(const std::filesystem::path& file);
bool is_any_image_name(const std::filesystem::path& file);

}  // namespace wherry
