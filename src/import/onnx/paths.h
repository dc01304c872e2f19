// Module paths out of the names that exporters leave in .onnx files, so that outline() finds the blocks of the author's program.
#pragma once

#include "import/onnx/proto.h"
#include "ir/graph.h"

#include <set>
#include <string>

namespace wherry::onnx {

// Where a node belongs. `exact`: the path is the node's own and stays as it is; else it is that of the module around it.
struct Place {
  std::string path;
  bool exact = false;
};

// By what the file tells, the best first: PyTorch's scope records, names with slashes ("/stage/pw/conv/Conv"), names with dots
// ("stage.pw.conv", which is how Wherry writes them), the names of weights ("stage.pw.conv.weight"). "" where nothing does.
Place place_of(const NodeDef& node, const std::set<std::string_view>& weights);

// A name as a path's part: letters, digits and underscores, not empty.
std::string as_word(std::string_view name);

// Gives every node its final path: a leaf module with one node lends it its own, others go on with the operator's name.
// `places` go with graph.nodes. Fills graph.modules: modules of one structure get one class name.
void settle_paths(Graph& graph, const std::vector<Place>& places);

}  // namespace wherry::onnx
