// One function for each library that decodes images; decode_image() picks one and turns the result upright.
#pragma once

#include "data/images.h"

namespace wherry {

struct Decoded {
  Image image;
  int orientation = 1;  // EXIF's, 1 to 8
  std::string fault;    // not empty: why the file cannot be decoded
};

Decoded decode_jpeg(std::span<const std::byte> file);
Decoded decode_png(std::span<const std::byte> file);
Decoded decode_webp(std::span<const std::byte> file);

// The orientation in an EXIF block (TIFF header first; a leading "Exif\0\0" is skipped); 1 where it says none.
int exif_orientation(std::span<const std::byte> exif);

}  // namespace wherry
