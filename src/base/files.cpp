#include "base/files.h"

#include "base/diagnostics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace wherry {

namespace fs = std::filesystem;

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  const auto give_up = [&](const char* reason) {
    fail({.code = "E101", .message = fmt::format("cannot read '{}': {}", path.string(), reason), .next = "check the path"});
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) give_up(std::strerror(errno));
  struct stat info {};
  const bool known = ::fstat(descriptor, &info) == 0;
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  void* data = MAP_FAILED;
  const bool regular = known && S_ISREG(info.st_mode);
  if (regular && info.st_size > 0) {
    file->size_ = static_cast<std::size_t>(info.st_size);
    data = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  }
  const int error = errno;
  ::close(descriptor);
  if (!regular) give_up(known && S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
  if (info.st_size == 0) return file;
  if (data == MAP_FAILED) {
    file->size_ = 0;
    give_up(std::strerror(error));
  }
  file->data_ = static_cast<const std::byte*>(data);
  return file;
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

namespace {
constexpr std::size_t buffer_limit = std::size_t{1} << 20;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += fmt::format(".{}.part", ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    const int error = errno;
    fail({.code = "E601",
          .message = fmt::format("cannot write '{}': {}", path_.string(), std::strerror(error)),
          .next = error == ENOENT ? "create the folder first" : "choose a folder that you may write to"});
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::give_up(const char* doing) {
  const int error = errno;
  fail({.code = "E601",
        .message = fmt::format("cannot {} '{}': {}", doing, path_.string(), std::strerror(error)),
        .next = error == ENOSPC || error == EDQUOT || error == EFBIG ? "free some disk space" : "choose a folder that you may write to"});
}

void AtomicFile::flush() {
  for (std::size_t done = 0; done < buffer_.size();) {
    const ssize_t n = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up("write");
    done += static_cast<std::size_t>(n);
  }
  buffer_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > buffer_limit) flush();
  if (bytes.size() <= buffer_limit) {
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return;
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up("write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::pad_to(std::size_t alignment) {
  const std::size_t missing = (alignment - size_ % alignment) % alignment;
  const std::string zeros(missing, '\0');
  write(zeros);
}

void AtomicFile::finish() {
  if (descriptor_ < 0) return;
  flush();
  const int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0) give_up("write");
}

void AtomicFile::commit() {
  finish();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) give_up("rename to");
  temporary_.clear();
}

std::string read_text(const fs::path& path) { return std::string(MappedFile::open(path)->text()); }

void write_text(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace wherry
