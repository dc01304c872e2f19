// One block as a function that gives init(key) and apply(params, x), or as a module of Flax NNX.
#pragma once

#include "base/diagnostics.h"
#include "export/source/variables.h"

namespace wherry::source {

// What the functions of one file share.
struct JaxContext {
  const Program& program;
  Diagnostics& diagnostics;
  Names module_names = {};                                      // of the file
  bool nnx = false;                                             // modules instead of functions
  std::vector<std::string> functions = {};                      // by scope
  std::vector<std::map<std::string, std::string>> params = {};  // by scope: text's name → Python's
};

std::string jax_scope(const JaxContext& context, std::size_t scope);

// Whether a layer has an entry of its own among its scope's parameters.
bool has_entry(const Program& program, const Step& step);

}  // namespace wherry::source
