#include "runtime/environments.h"

#include "base/text.h"

#include <cstdlib>

namespace wherry {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<fs::path> environment_prefixes() {
  std::vector<fs::path> prefixes;
  std::error_code error;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", error); !error)
    for (fs::path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
      prefixes.push_back(folder);
      prefixes.push_back(folder / ".venv");
    }
  if (const std::string active = environment("VIRTUAL_ENV"); !active.empty()) prefixes.emplace_back(active);
  for (const std::string& folder : split(environment("PATH"), ':'))
    if (!folder.empty()) prefixes.push_back(fs::path(folder).parent_path());
  return prefixes;
}

}  // namespace wherry
