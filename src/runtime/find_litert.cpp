#include "runtime/environments.h"
#include "runtime/litert.h"

namespace wherry {
namespace fs = std::filesystem;
namespace {

constexpr const char* library_name = "libLiteRt.so";

// "2.3.0" out of the neighbour folder ai_edge_litert-2.3.0.dist-info.
std::string version_beside(const fs::path& library) {
  constexpr std::string_view prefix = "ai_edge_litert-", suffix = ".dist-info";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(library.parent_path().parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) return name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  }
  return {};
}

std::optional<LiteRtLibrary> as_library(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  return LiteRtLibrary{file, version_beside(fs::absolute(file, error))};
}

// A Python environment: PREFIX/lib/python3.x/site-packages (Debian: dist-packages). The highest Python that has it, by name.
std::optional<LiteRtLibrary> in_prefix(const fs::path& prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(prefix / "lib", error)) {
    if (!entry.path().filename().string().starts_with("python3")) continue;
    for (const char* packages : {"site-packages", "dist-packages"}) {
      const fs::path file = entry.path() / packages / "ai_edge_litert" / library_name;
      if (fs::is_regular_file(file, error)) found.push_back(file);
    }
  }
  return found.empty() ? std::nullopt : as_library(*std::max_element(found.begin(), found.end()));
}

}  // namespace

std::optional<LiteRtLibrary> find_litert() {
  if (const std::string named = environment("WHERRY_LITERT"); !named.empty()) {
    const fs::path path = named;
    for (const fs::path& file : {path, path / library_name, path / "ai_edge_litert" / library_name})
      if (auto found = as_library(file)) return found;
    return std::nullopt;  // who names a library wants that one
  }
  for (const fs::path& prefix : environment_prefixes())
    if (auto found = in_prefix(prefix)) return found;
  return std::nullopt;
}

}  // namespace wherry
