// A scope's modules as PyTorch holds them: a layer with a path for a name stands in containers.
#pragma once

#include "export/source/program.h"

#include <memory>

namespace wherry::source {

struct ModuleTree {
  std::string segment;  // "" for the scope itself
  std::string access;   // "self.backbone.stages", `self.downsample["0"]`
  int step = -1;        // the layer that it is
  enum Kind { leaf, sequence, plain, dict } kind = leaf;
  int first = -1, last = -1;  // steps within
  std::vector<std::unique_ptr<ModuleTree>> children;

  // `modules`: by step, whether it is a module.
  static std::unique_ptr<ModuleTree> of(const Scope& scope, const std::vector<bool>& modules);
  const ModuleTree* find(int step) const;
  // The outermost sequence that begins with the step.
  const ModuleTree* sequence_at(int step) const;
  bool numbered() const;  // its children are 0, 1, 2, …
};

// "self.conv.weight", or by get_parameter where a segment is no Python name.
std::string weight_access(const std::string& key);
// Whether a module may have a child of this name as an attribute.
bool may_be_attribute(std::string_view segment);

}  // namespace wherry::source
