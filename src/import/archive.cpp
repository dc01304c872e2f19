#include "import/archive.h"

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/text.h"

#include <fmt/format.h>
#include <libdeflate.h>
#include <unzip.h>

#include <algorithm>
#include <cstring>

namespace wherry {

namespace {

// minizip reads through these: a cursor over bytes in memory.
struct Cursor {
  std::span<const std::byte> bytes;
  std::uint64_t at = 0;
  bool ended = false;  // a read went past the end: minizip takes a short read without an error for zeros
};

voidpf open_cursor(voidpf opaque, const void*, int) { return opaque; }
int close_cursor(voidpf, voidpf) { return 0; }
int cursor_error(voidpf, voidpf stream) { return static_cast<const Cursor*>(stream)->ended ? 1 : 0; }
ZPOS64_T tell(voidpf, voidpf stream) { return static_cast<const Cursor*>(stream)->at; }

uLong read_bytes(voidpf, voidpf stream, void* out, uLong size) {
  auto& cursor = *static_cast<Cursor*>(stream);
  const std::uint64_t left = cursor.bytes.size() - std::min<std::uint64_t>(cursor.at, cursor.bytes.size());
  const std::uint64_t count = std::min<std::uint64_t>(size, left);
  if (count > 0) std::memcpy(out, cursor.bytes.data() + cursor.at, count);
  cursor.at += count;
  cursor.ended = cursor.ended || count < size;
  return static_cast<uLong>(count);
}

long seek(voidpf, voidpf stream, ZPOS64_T offset, int origin) {
  auto& cursor = *static_cast<Cursor*>(stream);
  const std::uint64_t base = origin == ZLIB_FILEFUNC_SEEK_CUR ? cursor.at : origin == ZLIB_FILEFUNC_SEEK_END ? cursor.bytes.size() : 0;
  const std::uint64_t target = base + offset;
  if (target < base || target > cursor.bytes.size()) return -1;
  cursor.at = target;
  return 0;
}

struct Unzip {
  explicit Unzip(std::span<const std::byte> bytes) : cursor{bytes} {
    zlib_filefunc64_def functions{open_cursor, read_bytes, nullptr, tell, seek, close_cursor, cursor_error, &cursor};
    file = unzOpen2_64("", &functions);
  }
  ~Unzip() {
    if (file) unzClose(file);
  }
  Unzip(const Unzip&) = delete;
  Unzip& operator=(const Unzip&) = delete;
  Cursor cursor;
  unzFile file = nullptr;
};

// Whether the record that ends every archive is there as a whole: minizip does not look at it in a Zip64 archive.
bool has_end(std::span<const std::byte> bytes) {
  constexpr std::size_t record = 22;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t at = text.rfind("PK\5\6");
  if (at == std::string_view::npos || text.size() - at < record) return false;
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(text[at + i])); };
  return text.size() - at >= record + byte(20) + (byte(21) << 8U);
}

constexpr std::uint64_t largest_inflation = 1032;  // deflate makes at most that many bytes out of one

}  // namespace

bool Archive::looks_like_zip(std::span<const std::byte> bytes) { return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK", 2) == 0; }

Archive::Archive(OwnedBytes bytes, std::string title) : bytes_(std::move(bytes)), title_(std::move(title)) {
  if (!looks_like_zip(bytes_.bytes))
    fail({.code = "E107",
          .message = fmt::format("{} is not a zip archive", title_),
          .next = "give a file that torch.export.save or torch.save wrote"});
  read_directory();
  check_ranges();
  find_root();
}

Archive Archive::open(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  return Archive({bytes, std::move(file)}, fmt::format("'{}'", path.string()));
}

void Archive::damaged(const std::string& how, const char* code) const {
  fail({.code = code, .message = fmt::format("{}: {}", title_, how), .next = "export it again, or copy the file again"});
}

void Archive::read_directory() {
  const Unzip zip(bytes_.bytes);
  if (!zip.file || !has_end(bytes_.bytes)) damaged("truncated or damaged: no directory of entries at its end");
  std::string name;
  int status = unzGoToFirstFile(zip.file);
  for (; status == UNZ_OK; status = unzGoToNextFile(zip.file)) {
    unz_file_info64 info{};
    name.resize(4096);
    if (unzGetCurrentFileInfo64(zip.file, &info, name.data(), name.size(), nullptr, 0, nullptr, 0) != UNZ_OK)
      damaged("its directory of entries is damaged");
    if (info.size_filename >= name.size()) damaged("its directory of entries is damaged: a name is too long");
    name.resize(info.size_filename);
    if (name.ends_with('/')) continue;
    Entry entry{.stored_size = info.compressed_size,
                .size = info.uncompressed_size,
                .crc = static_cast<std::uint32_t>(info.crc),
                .method = static_cast<int>(info.compression_method),
                .encrypted = (info.flag & 1U) != 0};
    if (unzOpenCurrentFile2(zip.file, nullptr, nullptr, 1) != UNZ_OK)
      damaged(fmt::format("the header of entry '{}' is missing or differs from the directory", name));
    entry.offset = unzGetCurrentFileZStreamPos64(zip.file);
    unzCloseCurrentFile(zip.file);
    if (entry.offset > bytes_.bytes.size() || entry.stored_size > bytes_.bytes.size() - entry.offset)
      damaged(fmt::format("entry '{}' ends outside of the file", name));
    if (entry.method == 0 && entry.size != entry.stored_size)
      damaged(fmt::format("entry '{}' is stored as {} bytes but says {}", name, entry.stored_size, entry.size));
    if (!entries_.emplace(name, std::move(entry)).second) damaged(fmt::format("entry '{}' is there twice", name));
  }
  if (status != UNZ_END_OF_LIST_OF_FILE) damaged("its directory of entries is damaged");
  if (entries_.empty()) damaged("it holds no entries", "E103");
}

void Archive::check_ranges() const {
  std::vector<std::pair<std::uint64_t, std::map<std::string, Entry, std::less<>>::const_iterator>> starts;
  starts.reserve(entries_.size());
  for (auto it = entries_.begin(); it != entries_.end(); ++it) starts.emplace_back(it->second.offset, it);
  std::sort(starts.begin(), starts.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < starts.size(); ++i) {
    const auto& [name, before] = *starts[i - 1].second;
    if (before.offset + before.stored_size > starts[i].first)
      damaged(fmt::format("entries '{}' and '{}' overlap", name, starts[i].second->first));
  }
}

// Takes the folder that all entries share off their names.
void Archive::find_root() {
  const std::string& first = entries_.begin()->first;
  const std::size_t slash = first.find('/');
  if (slash == std::string::npos) return;
  const std::string prefix = first.substr(0, slash + 1);
  for (const auto& [name, entry] : entries_)
    if (!name.starts_with(prefix)) return;
  root_ = first.substr(0, slash);
  std::map<std::string, Entry, std::less<>> below;
  while (!entries_.empty()) {
    auto handle = entries_.extract(entries_.begin());
    handle.key().erase(0, prefix.size());
    below.insert(below.end(), std::move(handle));
  }
  entries_ = std::move(below);
}

std::vector<std::string> Archive::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

OwnedBytes Archive::inflate(const std::string& name, const Entry& entry) const {
  if (entry.method != 8)
    damaged(fmt::format("entry '{}' is compressed by method {}, which Wherry does not read", name, entry.method), "E106");
  if (entry.size / largest_inflation > entry.stored_size + 1)
    damaged(fmt::format("entry '{}' says that {} bytes inflate to {}", name, entry.stored_size, entry.size));
  auto buffer = std::make_shared<std::vector<std::byte>>(entry.size);
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(libdeflate_alloc_decompressor(),
                                                                                                   libdeflate_free_decompressor);
  const auto result = libdeflate_deflate_decompress(inflater.get(), bytes_.bytes.data() + entry.offset, entry.stored_size, buffer->data(),
                                                    buffer->size(), nullptr);
  if (result != LIBDEFLATE_SUCCESS) damaged(fmt::format("the compressed bytes of entry '{}' are damaged", name));
  return {*buffer, buffer};
}

OwnedBytes Archive::read(std::string_view wanted) {
  const auto it = entries_.find(wanted);
  if (it == entries_.end()) damaged(fmt::format("it has no entry '{}'{}", wanted, did_you_mean(wanted, names())), "E103");
  auto& [name, entry] = *it;
  if (entry.encrypted) damaged(fmt::format("entry '{}' is encrypted", name), "E106");
  if (entry.method != 0 && !entry.inflated.owner) entry.inflated = inflate(name, entry);
  const OwnedBytes result = entry.method == 0 ? OwnedBytes{bytes_.bytes.subspan(entry.offset, entry.size), bytes_.owner} : entry.inflated;
  if (!entry.checked) {
    const std::uint32_t found = libdeflate_crc32(0, result.bytes.data(), result.bytes.size());
    if (found != entry.crc)
      damaged(fmt::format("the bytes of entry '{}' are damaged: their CRC-32 is {:08x}, the archive says {:08x}", name, found, entry.crc));
    entry.checked = true;
  }
  return result;
}

}  // namespace wherry
