// Where Python environments are looked for: LiteRT's library lies in one, and foreign frameworks run in one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wherry {

// An environment variable, "" where it is not set.
std::string environment(const char* name);

// Prefixes of Python environments in the order they are tried: those around this program (and their .venv), $VIRTUAL_ENV, those on
// $PATH. Not all of them exist.
std::vector<std::filesystem::path> environment_prefixes();

}  // namespace wherry
