#include "base/text.h"
#include "runtime/environments.h"
#include "runtime/python_worker.h"

#include <unistd.h>

namespace wherry {

namespace fs = std::filesystem;

std::optional<fs::path> find_python() {
  if (const std::string named = environment("WHERRY_PYTHON"); !named.empty())
    return ::access(named.c_str(), X_OK) == 0 ? std::optional<fs::path>(named) : std::nullopt;  // who names one wants that one
  for (const fs::path& prefix : environment_prefixes())
    for (const char* name : {"bin/python", "bin/python3"})
      if (const fs::path file = prefix / name; ::access(file.c_str(), X_OK) == 0 && !fs::is_directory(file)) return file;
  return std::nullopt;
}

}  // namespace wherry
