#include "data/images.h"

#include "base/files.h"
#include "data/decoders.h"

namespace wherry {

namespace {

// Where the pixel at (x, y) of the upright image lies in the stored one, by EXIF's number.
Image upright(Image stored, int orientation) {
  if (orientation <= 1 || orientation > 8) return stored;
  const bool turned = orientation >= 5;
  Image out{turned ? stored.height : stored.width, turned ? stored.width : stored.height, std::vector<std::uint8_t>(stored.rgb.size())};
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  std::uint8_t* to = out.rgb.data();
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x, to += 3) {
      int from_x = turned ? y : x, from_y = turned ? x : y;
      if (flip_x) from_x = stored.width - 1 - from_x;
      if (flip_y) from_y = stored.height - 1 - from_y;
      const std::uint8_t* from =
          stored.rgb.data() + static_cast<std::size_t>(from_y) * stored.stride() + static_cast<std::size_t>(from_x) * 3;
      to[0] = from[0], to[1] = from[1], to[2] = from[2];
    }
  return out;
}

bool ends_as(const std::filesystem::path& file, std::initializer_list<std::string_view> suffixes) {
  std::string suffix = file.extension().string();
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(suffixes.begin(), suffixes.end(), suffix) != suffixes.end();
}

}  // namespace

int exif_orientation(std::span<const std::byte> exif) {
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  if (text(exif).starts_with(std::string_view("Exif\0\0", 6))) exif = exif.subspan(6);
  if (exif.size() < 8) return 1;
  const bool little = text(exif).starts_with("II");
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::to_integer<std::size_t>(exif[at + i]) << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  const std::size_t directory = number(4, 4);
  if (directory > exif.size() - 2) return 1;
  const std::size_t entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + 12 * i;
    if (at + 12 > exif.size()) return 1;
    if (number(at, 2) == 0x0112 && number(at + 2, 2) == 3) return static_cast<int>(number(at + 8, 2));
  }
  return 1;
}

Image decode_image(std::span<const std::byte> file, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), std::min<std::size_t>(file.size(), 16));
  Decoded decoded;
  if (text.starts_with("\xFF\xD8"))
    decoded = decode_jpeg(file);
  else if (text.starts_with("\x89PNG"))
    decoded = decode_png(file);
  else if (text.starts_with("RIFF") && text.substr(std::min<std::size_t>(8, text.size())).starts_with("WEBP"))
    decoded = decode_webp(file);
  else
    decoded.fault = text.empty() ? "it is empty" : "it is no JPEG, PNG or WebP";
  if (!decoded.fault.empty()) fail({.code = "E802", .message = fmt::format("'{}' cannot be decoded: {}", name, decoded.fault)});
  return upright(std::move(decoded.image), decoded.orientation);
}

Image read_image(const std::filesystem::path& file) { return decode_image(MappedFile::open(file)->bytes(), file.string()); }

bool is_image_name(const std::filesystem::path& file) { return ends_as(file, {".jpg", ".jpeg", ".png", ".webp"}); }

bool is_any_image_name(const std::filesystem::path& file) {
  return is_image_name(file) || ends_as(file, {".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".heic"});
}

}  // namespace wherry
