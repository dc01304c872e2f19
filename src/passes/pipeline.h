// The passes in order. Each is a function Graph → Graph in a file of its own.
#pragma once

#include "ir/builder.h"

namespace wherry {

struct PassRecord {
  std::string name;
  double seconds = 0;
  int nodes_before = 0, nodes_after = 0;
};

struct PassOptions {
  std::vector<std::string> skip;  // names of passes to leave out
  std::string stop_after;         // the last pass to run; "" : all
  // Called after each pass that changed the graph (dumps, numerical checks).
  std::function<void(const PassRecord&, const Graph& before, const Graph& after)> after_each;
};

// What every target wants: constants folded, batch norms folded, shuffles absorbed, dead code gone. Verifies after each pass.
Graph run_passes(Graph graph, const OpTable& ops, const PassOptions& options, std::vector<PassRecord>& records);
std::vector<std::string> pass_names();

}  // namespace wherry
