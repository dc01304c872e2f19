// One pass of the float model over the calibration data: what values every activation takes.
#pragma once

#include "base/diagnostics.h"
#include "quantize/histogram.h"
#include "quantize/program.h"

namespace wherry {

struct Statistics {
  std::vector<Histogram> tensors;    // by tensor of the graph; empty for constants and for what is not float32
  std::vector<std::size_t> typical;  // samples to correct with: chosen by their content, so that no order of the data matters
};

// Needs: samples.count > 0. E804 names every tensor in which NaN or infinities appear. `typical_count` samples are chosen.
Statistics calibrate(const TflGraph& graph, const Samples& samples, const Loader& load, int threads, std::size_t typical_count,
                     const QuantizeProgress& progress, Diagnostics& diagnostics);

}  // namespace wherry
