#include "data/decoders.h"

#include <png.h>

#include <cstring>

namespace wherry {

namespace {

struct Reader {
  std::span<const std::byte> file;
  std::size_t at = 0;
  std::string fault;
};

void on_error(png_structp png, png_const_charp message) {
  static_cast<Reader*>(png_get_error_ptr(png))->fault = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t count) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader->file.size() - reader->at) png_error(png, "the file is truncated");
  std::memcpy(out, reader->file.data() + reader->at, count);
  reader->at += count;
}

int orientation_of(png_structp png, png_infop info) {
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(png, info, &size, &exif) == 0) return 1;
  return exif_orientation(std::as_bytes(std::span(exif, size)));
}

// Everything that lives across a longjmp belongs to the caller.
bool decode(png_structp png, png_infop info, Decoded& out, std::vector<png_bytep>& rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_info(png, info);
  const int colour = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  if (depth == 16 && (colour & PNG_COLOR_MASK_COLOR) == 0) png_error(png, "it is grey with 16 bits, which Pillow clips to 8");
  png_set_expand(png);  // palettes to colours, few bits to eight, transparency to alpha
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  out.image.width = static_cast<int>(png_get_image_width(png, info));
  out.image.height = static_cast<int>(png_get_image_height(png, info));
  if (png_get_rowbytes(png, info) != out.image.stride()) png_error(png, "its pixels are of a form that Wherry does not read");
  out.image.rgb.resize(out.image.stride() * static_cast<std::size_t>(out.image.height));
  for (int y = 0; y < out.image.height; ++y) rows.push_back(out.image.rgb.data() + static_cast<std::size_t>(y) * out.image.stride());
  png_read_image(png, rows.data());
  png_read_end(png, info);
  out.orientation = orientation_of(png, info);
  return true;
}

}  // namespace

Decoded decode_png(std::span<const std::byte> file) {
  Decoded out;
  Reader reader{.file = file};
  std::vector<png_bytep> rows;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info) throw std::bad_alloc();
  png_set_read_fn(png, &reader, on_read);
  if (!decode(png, info, out, rows)) out.fault = reader.fault;
  png_destroy_read_struct(&png, &info, nullptr);
  return out;
}

}  // namespace wherry
