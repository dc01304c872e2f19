// Foreign nodes become ours: by the operator's pairs or its function. Shared by all readers of graphs.
#pragma once

#include "base/diagnostics.h"
#include "ir/builder.h"

#include <map>

namespace wherry {

// Adds what `node` means as nodes that inherit the builder's path and source; the outputs, in the foreign node's order.
// Fails with E203 on an argument that is unknown, missing or of the wrong kind, E5xx on types that do not fit.
std::vector<ValueId> convert_foreign(Builder& builder, const ForeignNode& node, const OpTable::Foreign& meaning);

// "path (file:line)".
std::string where(const ForeignNode& node);
// "self: float32[1, 3], other: float32[3]".
std::string describe_inputs(const Graph& graph, const ForeignNode& node);

// Foreign operators that nothing is known of: one message for each, with how often and where first.
class UnknownOperators {
 public:
  void add(const Graph& graph, const ForeignNode& node, std::string next = {});  // next: empty for the usual step
  // `known`: the targets that could have been meant.
  void report(const std::vector<std::string>& known, Diagnostics& diagnostics) const;

 private:
  struct Seen {
    int count = 0;
    std::string at, in, next;
  };
  std::vector<std::string> order_;
  std::map<std::string, Seen> seen_;
};

}  // namespace wherry
