#include "runtime/quiet_stderr.h"

#include "base/text.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

namespace wherry {
namespace {

// Two at once would give back each other's stderr.
std::mutex& one_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

std::string read_all(int descriptor) {
  std::string out(static_cast<std::size_t>(std::max<off_t>(0, ::lseek(descriptor, 0, SEEK_END))), '\0');
  const ssize_t n = ::pread(descriptor, out.data(), out.size(), 0);
  out.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return out;
}

// The line without its severity, or nullopt when no library wrote it.
std::optional<std::string> complaint(const std::string& line) {
  for (const std::string_view severity : {"ERROR: ", "WARNING: ", "INFO: ", "VERBOSE: "})
    if (line.starts_with(severity)) return line.substr(severity.size());
  return std::nullopt;
}

}  // namespace

QuietStderr::QuietStderr() {
  one_at_a_time().lock();
  std::fflush(stderr);
  collected_ = ::memfd_create("stderr", MFD_CLOEXEC);
  kept_ = ::dup(STDERR_FILENO);
  if (collected_ >= 0 && kept_ >= 0) ::dup2(collected_, STDERR_FILENO);
}

QuietStderr::~QuietStderr() {
  std::fflush(stderr);
  if (collected_ >= 0 && kept_ >= 0) {
    ::dup2(kept_, STDERR_FILENO);
    for (const std::string& line : split(read_all(collected_), '\n'))
      if (!line.empty() && !complaint(line)) std::fprintf(stderr, "%s\n", line.c_str());
  }
  for (const int descriptor : {collected_, kept_})
    if (descriptor >= 0) ::close(descriptor);
  one_at_a_time().unlock();
}

std::string QuietStderr::complaints() const {
  std::fflush(stderr);
  std::vector<std::string> out;
  if (collected_ < 0) return {};
  for (const std::string& line : split(read_all(collected_), '\n'))
    if (!line.starts_with("INFO: "))
      if (const auto text = complaint(line)) out.push_back(*text);
  return join(out, "; ");
}

}  // namespace wherry
