// A graph's layers as a tree by their paths, with what each part costs.
#pragma once

#include "ir/graph.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

struct TreeItem {
  std::string name;  // path segment, or several where there is nothing to branch: "backbone.stages"
  std::string kind;  // the module's class, or the operator
  Shape output;      // of the last node inside
  double parameters = 0, macs = 0;
  std::vector<TreeItem> children;
};

struct GraphTree {
  std::vector<TreeItem> items;
  double parameters = 0, weight_bytes = 0, macs = 0;
  double activation_bytes = 0;  // the most alive at one node, in the order of the graph
  bool macs_known = true;       // false where shapes are symbolic
};

GraphTree tree_of(const Graph& graph);
std::string render(const GraphTree& tree, const Graph& graph, int depth);
nlohmann::ordered_json to_json(const GraphTree& tree, const Graph& graph);

}  // namespace wherry
