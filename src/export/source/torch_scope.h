// One block as a torch.nn.Module class.
#pragma once

#include "base/diagnostics.h"
#include "export/source/variables.h"

namespace wherry::source {

// What the classes of one file share.
struct TorchContext {
  const Program& program;
  Diagnostics& diagnostics;
  Names module_names = {};                                              // of the file
  std::vector<std::string> classes = {};                                // by scope
  std::vector<std::map<std::string, std::string>> params = {};          // by scope: text's name → Python's
  std::vector<std::string> helpers = {};                                // definitions that operators' texts use, each once
  std::vector<std::pair<std::string, std::string>> layer_classes = {};  // text of an operator → the class that makes a module of it
  std::map<std::string, std::string> layer_class_names = {};
};

std::string torch_scope(TorchContext& context, std::size_t scope);

}  // namespace wherry::source
