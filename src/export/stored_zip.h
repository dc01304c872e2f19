// A ZIP archive of stored entries at the end of a file under construction. All times are the format's first, so that the same
// content gives the same bytes.
#pragma once

#include "base/diagnostics.h"
#include "base/files.h"

#include <vector>

namespace wherry {

class StoredZip {
 public:
  explicit StoredZip(AtomicFile& file) : file_(file) {}
  void add(const std::string& name, std::string_view content);
  void add_file(const std::string& name, const std::filesystem::path& content);  // read in pieces, never held whole
  void finish();                                                                 // the directory; E603 beyond 4 GiB

 private:
  struct Entry {
    std::string name;
    std::size_t crc = 0, size = 0;
    std::size_t offset = 0;  // of its header in the file
  };
  void begin(Entry entry);
  AtomicFile& file_;
  std::vector<Entry> entries_;
};

}  // namespace wherry
