// Gives symbolic dimensions their sizes.
#pragma once

#include "ir/builder.h"

#include <map>

namespace wherry {

// The graph with the named dimensions replaced and every type inferred again. A name that no input uses is E504, with those
// that there are; shapes that do not fit the sizes chosen are E501.
Graph bind_dims(const Graph& graph, const std::map<std::string, std::int64_t>& dims);

// Names of the dimensions without a size, in order of appearance among the inputs.
std::vector<std::string> open_dims(const Graph& graph);

// The graph as it runs to be compared: every dimension without a size is one.
Graph with_open_as_one(const Graph& graph);

}  // namespace wherry
