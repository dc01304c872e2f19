// A zip archive in memory, its entries seen as byte ranges: what .pt2 and .pth files are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wherry {

// Bytes and what keeps them alive: the mapped file, or a buffer that a compressed entry was inflated into.
struct OwnedBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

class Archive {
 public:
  // Reads the directory only. `title` names the archive in messages: its path, or "entry 'x' of 'y'".
  // Fails with E107 when the bytes are no zip archive, E102 when it is truncated or its directory is damaged.
  Archive(OwnedBytes bytes, std::string title);
  static Archive open(const std::filesystem::path& path);
  static bool looks_like_zip(std::span<const std::byte> bytes);

  const std::string& title() const { return title_; }
  const std::string& root() const { return root_; }  // the folder that holds every entry: "fbnet_a"; may be ""
  bool has(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  std::vector<std::string> names() const;  // below root(), sorted

  // The bytes of `root()/name`, a view where the entry is stored. Its CRC-32 is checked at the first read.
  // Fails with E103 when there is no such entry, E102 when its bytes are damaged.
  OwnedBytes read(std::string_view name);

  // Fails with E102 (or another code) in the words of this archive.
  [[noreturn]] void damaged(const std::string& how, const char* code = "E102") const;

 private:
  struct Entry {
    std::uint64_t offset = 0, stored_size = 0, size = 0;
    std::uint32_t crc = 0;
    int method = 0;
    bool encrypted = false, checked = false;
    OwnedBytes inflated;
  };
  void read_directory();
  void check_ranges() const;
  void find_root();
  OwnedBytes inflate(const std::string& name, const Entry& entry) const;

  OwnedBytes bytes_;
  std::string title_, root_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace wherry
