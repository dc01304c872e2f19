// The module tree of a graph: which nodes belong to which instance of which class.
#pragma once

#include "ir/graph.h"

#include <map>
#include <string>
#include <vector>

namespace wherry::outlining {

// A module that could become a block: all its nodes stand together, and all their paths go on below its own.
struct Instance {
  std::string path;  // "" for the whole model
  std::string type;
  int first = 0, last = 0;  // nodes [first, last)
};

struct Tree {
  explicit Tree(const Graph& graph);
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const Graph& graph;
  const Uses uses;
  Instance root;
  std::vector<Instance> instances;                   // by first node, outer before inner
  std::vector<std::vector<const Instance*>> around;  // by node: the instances that hold it, outermost first

  // Classes of at least two instances, each after all that its instances hold. A class that holds itself is left out.
  std::vector<std::vector<const Instance*>> classes() const;
};

}  // namespace wherry::outlining
