// Graph → Model: the inverse of flatten. Finds blocks from module paths, gives equal structures one definition and turns
// what differs between them into parameters.
#pragma once

#include "ir/builder.h"
#include "ir/model.h"
#include "ir/weights.h"

namespace wherry {

// flatten(outline(g), weights_of(g)) is g: the same nodes in the same order with the same paths, attributes and weights.
Model outline(const Graph& graph, const OpTable& ops);

// Every named constant of the graph, by name.
Weights weights_of(const Graph& graph);

// Empty when the graphs are the same but for ids (values' numbering) and modules; else the first difference, in words.
std::string first_difference(const Graph& a, const Graph& b);

}  // namespace wherry
