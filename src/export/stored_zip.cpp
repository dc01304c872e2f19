#include "export/stored_zip.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <fstream>
#include <functional>

namespace wherry {

namespace {

std::string little_endian(std::initializer_list<std::pair<std::size_t, int>> numbers) {
  std::string out;
  for (auto [number, bytes] : numbers)
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> (8 * i));
  return out;
}

constexpr std::size_t version = 20, utf8_names = 0x800, stored = 0, midnight = 0, first_of_january_1980 = 0x21;

// What the local and the central header have in common, from "version needed" on.
std::string entry_fields(std::size_t crc, std::size_t size, std::size_t name) {
  return little_endian({{version, 2},
                        {utf8_names, 2},
                        {stored, 2},
                        {midnight, 2},
                        {first_of_january_1980, 2},
                        {crc, 4},
                        {size, 4},
                        {size, 4},
                        {name, 2},
                        {0, 2}});
}

void each_piece(const std::filesystem::path& path, const std::function<void(std::string_view)>& f) {
  std::ifstream in(path, std::ios::binary);
  std::string piece(1 << 20, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0)
    f(std::string_view(piece.data(), static_cast<std::size_t>(in.gcount())));
  if (!in.eof()) fail({.code = "E101", .message = fmt::format("'{}' cannot be read back", path.string())});
}

}  // namespace

void StoredZip::begin(Entry entry) {
  entry.offset = file_.size();
  file_.write(little_endian({{0x04034b50, 4}}) + entry_fields(entry.crc, entry.size, entry.name.size()) + entry.name);
  entries_.push_back(std::move(entry));
}

void StoredZip::add(const std::string& name, std::string_view content) {
  begin({name, libdeflate_crc32(0, content.data(), content.size()), content.size()});
  file_.write(content);
}

void StoredZip::add_file(const std::string& name, const std::filesystem::path& content) {
  Entry entry{name};
  std::uint32_t crc = 0;
  each_piece(content, [&](std::string_view piece) {
    crc = libdeflate_crc32(crc, piece.data(), piece.size());
    entry.size += piece.size();
  });
  entry.crc = crc;
  begin(std::move(entry));
  each_piece(content, [&](std::string_view piece) { file_.write(piece); });
}

void StoredZip::finish() {
  const std::size_t directory = file_.size();
  if (directory >> 32)
    fail({.code = "E603", .message = fmt::format("an archive of {} bytes is more than the 4 GiB that its format holds", directory)});
  for (const Entry& entry : entries_)
    file_.write(little_endian({{0x02014b50, 4}, {version, 2}}) + entry_fields(entry.crc, entry.size, entry.name.size()) +
                little_endian({{0, 2}, {0, 2}, {0, 2}, {0, 4}, {entry.offset, 4}}) + entry.name);
  const std::size_t size = file_.size() - directory;
  file_.write(
      little_endian({{0x06054b50, 4}, {0, 2}, {0, 2}, {entries_.size(), 2}, {entries_.size(), 2}, {size, 4}, {directory, 4}, {0, 2}}));
}

}  // namespace wherry
