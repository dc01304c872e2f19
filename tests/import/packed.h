// Archives for the tests: the entries of a file of tests/data, changed at will and packed anew as torch packs them (stored).
#pragma once

#include "base/diagnostics.h"
#include "base/files.h"
#include "import/archive.h"

#include <gtest/gtest.h>
#include <libdeflate.h>

#include <map>
#include <string>

namespace wherry::testing {

using Entries = std::map<std::string, std::string>;

inline std::filesystem::path data(const std::string& name) { return std::filesystem::path(WHERRY_SOURCE_DIR) / "tests/data" / name; }

inline OwnedBytes owned(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {std::as_bytes(std::span(*owner)), owner};
}

inline Entries unpacked(const std::string& file) {
  Archive archive = Archive::open(data(file));
  Entries entries;
  for (const std::string& name : archive.names()) entries[archive.root() + "/" + name] = std::string(archive.read(name).text());
  return entries;
}

inline void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

// The fields that a local header and a directory entry share.
inline void put_fields(std::string& out, const std::string& name, const std::string& bytes, std::size_t extra) {
  put(out, 0, 2);  // flags
  put(out, 0, 2);  // stored
  put(out, 0, 4);  // time
  put(out, libdeflate_crc32(0, bytes.data(), bytes.size()), 4);
  put(out, bytes.size(), 4);
  put(out, bytes.size(), 4);
  put(out, name.size(), 2);
  put(out, extra, 2);
}

inline std::string packed(const Entries& entries) {
  std::string out, directory;
  for (const auto& [name, bytes] : entries) {
    const std::size_t start = out.size(), pad = (64 - (start + 30 + name.size()) % 64) % 64;
    put(out, 0x04034b50, 4);
    put(out, 20, 2);
    put_fields(out, name, bytes, pad);
    out += name + std::string(pad, '\0') + bytes;
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);
    put(directory, 20, 2);
    put_fields(directory, name, bytes, 0);
    put(directory, 0, 2);  // comment
    put(directory, 0, 2);  // disk
    put(directory, 0, 2);
    put(directory, 0, 4);  // attributes
    put(directory, start, 4);
    directory += name;
  }
  const std::size_t at = out.size();
  out += directory;
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, entries.size(), 2);
  put(out, entries.size(), 2);
  put(out, directory.size(), 4);
  put(out, at, 4);
  put(out, 0, 2);
  return out;
}

// The code and message that `read` fails with; "" when it does not fail.
template <class F>
std::string fault(F read) {
  try {
    read();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "";
}

}  // namespace wherry::testing
