#include "import/pickle/read_pth.h"

#include "base/files.h"
#include "import/pickle/unpickle.h"

#include <fmt/format.h>

namespace wherry {

Weights read_pth(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  return read_checkpoint({bytes, std::move(file)}, fmt::format("'{}'", path.string()));
}

}  // namespace wherry
