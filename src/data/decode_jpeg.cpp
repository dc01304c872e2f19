#include "data/decoders.h"

#include <cstdio>  // jpeglib.h needs FILE

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>

namespace wherry {

namespace {

struct Errors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
  bool damaged;
};

void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  (*info->err->format_message)(info, errors->text);
  std::longjmp(errors->jump, 1);
}

// Warnings after which pixels are made up. Stray bytes between markers change no pixel and are let pass, as Pillow does.
void on_message(j_common_ptr info, int level) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  if (level >= 0 || errors->damaged) return;
  const int code = info->err->msg_code;
  if (code != JWRN_JPEG_EOF && code != JWRN_HIT_MARKER && code != JWRN_HUFF_BAD_CODE) return;
  errors->damaged = true;
  (*info->err->format_message)(info, errors->text);
}

// CMYK bytes as Adobe stores them, 255 for no ink; mixed as Pillow's convert does, which inverts them first.
void mix_inks(const std::uint8_t* from, std::uint8_t* to, std::size_t pixels) {
  for (std::size_t i = 0; i < pixels; ++i, from += 4, to += 3) {
    const int white = from[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - from[c]) * white + 128;
      to[c] = static_cast<std::uint8_t>(white - (((product >> 8) + product) >> 8));
    }
  }
}

int orientation_of(const jpeg_decompress_struct& info) {
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next)
    if (marker->marker == JPEG_APP0 + 1 && marker->data_length > 6 &&
        std::string_view(reinterpret_cast<const char*>(marker->data), 4) == "Exif")
      return exif_orientation(std::as_bytes(std::span(marker->data, marker->data_length)));
  return 1;
}

// Everything that lives across a longjmp belongs to the caller.
bool decode(std::span<const std::byte> file, jpeg_decompress_struct& info, Errors& errors, Decoded& out, std::vector<std::uint8_t>& inks) {
  if (setjmp(errors.jump)) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&info, TRUE);
  const bool has_inks = info.num_components == 4;
  info.out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  out.orientation = orientation_of(info);
  out.image.width = static_cast<int>(info.output_width);
  out.image.height = static_cast<int>(info.output_height);
  out.image.rgb.resize(out.image.stride() * info.output_height);
  if (has_inks) inks.resize(std::size_t{info.output_width} * 4);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* line = out.image.rgb.data() + info.output_scanline * out.image.stride();
    JSAMPROW row = has_inks ? inks.data() : line;
    jpeg_read_scanlines(&info, &row, 1);
    if (has_inks) mix_inks(inks.data(), line, info.output_width);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

Decoded decode_jpeg(std::span<const std::byte> file) {
  Decoded out;
  Errors errors{};
  jpeg_decompress_struct info{};
  std::vector<std::uint8_t> inks;
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  errors.base.emit_message = on_message;
  if (!decode(file, info, errors, out, inks) || errors.damaged) out.fault = errors.text;
  jpeg_destroy_decompress(&info);
  return out;
}

}  // namespace wherry
