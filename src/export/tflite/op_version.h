// The least version of an operator that can do what a node asks for, and the oldest runtime that has it: a file asks for no more,
// because old runtimes refuse versions that they do not know.
#pragma once

#include "ops/tfl.h"

namespace wherry {

struct OpVersion {
  int version = 1;
  std::string_view runtime;  // "2.3.0"
};

// CHECKs that the table has a row for the node's builtin.
OpVersion op_version(const TflGraph& graph, const TflNode& node);

// The same for a node of somebody else's file: nothing where the table has no row, or the node lacks operands.
std::optional<OpVersion> find_op_version(const TflGraph& graph, const TflNode& node);

// Whether runtime version a is older than b: "1.14.0" < "2.3.0".
bool older(std::string_view a, std::string_view b);

}  // namespace wherry
