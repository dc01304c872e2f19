#include "cli/lower_source.h"

#include "ops/all_ops.h"

namespace wherry {

Lowered lower_source(const Graph& graph, const PassOptions& passes, const TflLowerOptions& options, Diagnostics& diagnostics) {
  std::vector<PassRecord> records;
  return lower_to_tfl(run_passes(graph, all_ops(), passes, records), all_ops(), options, diagnostics);
}

}  // namespace wherry
