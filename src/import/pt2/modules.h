// Where nodes come from: module paths and classes out of nn_module_stack, source lines out of stack_trace.
#pragma once

#include "import/pt2/schema.h"
#include "ir/graph.h"

#include <map>
#include <set>
#include <string>

namespace wherry::pt2 {

// The innermost frame that is not PyTorch's own.
Source innermost_source(std::string_view stack_trace);

class ModulePaths {
 public:
  // Counts the nodes of each module call. `counts`: nodes that will be nodes of ours.
  void see(const NodeDef& node, bool counts);
  // The path for a node of this operator: the module's own path if it is a leaf with one node, else a name below it.
  std::string path(const NodeDef& node, std::string_view op) const;
  std::string module(const NodeDef& node) const;  // the innermost module's path; "" at the root
  std::vector<ModuleInfo> modules() const;        // in order of first call; without the root

 private:
  struct Call {
    std::string path, own_path, type;  // own_path: the module's, without the call's number
    int nodes = 0;
    bool leaf = true;
  };
  std::string call_path(std::string_view key, std::string_view path, const Call* parent);

  std::vector<Call> calls_;
  std::set<std::string> taken_;
  std::map<std::string_view, std::size_t> by_key_;
  std::map<std::string_view, std::size_t> by_stack_;  // a whole stack's innermost call
};

}  // namespace wherry::pt2
