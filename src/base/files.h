// Files: read by mapping, written whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace wherry {

// A file's bytes, mapped read-only. Weights are views into it and keep it alive.
class MappedFile {
 public:
  // Fails with E101 when the file cannot be opened.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::filesystem::path path_;
};

// A file under construction: bytes go to a temporary beside `path`; commit() gives it the name, anything else removes it.
// Every failure (no space, no permission) is E601.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void pad_to(std::size_t alignment);  // zero bytes up to the next multiple
  std::size_t size() const { return size_; }
  const std::filesystem::path& temporary() const { return temporary_; }
  void finish();  // flushes and closes; the temporary can then be read (and verified) before it is committed
  void commit();  // finish() and rename

 private:
  [[noreturn]] void give_up(const char* doing);
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
  std::string buffer_;
  void flush();
};

std::string read_text(const std::filesystem::path& path);                   // E101
void write_text(const std::filesystem::path& path, std::string_view text);  // atomic, E601

}  // namespace wherry
