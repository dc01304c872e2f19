// One pass of the float model over the calibration data: what values every activation takes.
#pragma once

#include "base/diagnostics.h"
#include "quantize/calibrate/histogram.h"
#include "quantize/program.h"

#include <map>

namespace wherry {

// The samples in an order that their content gives, whatever that of the data: any few of the first are typical.
std::vector<std::size_t> order_by_content(const Samples& samples, int threads, const QuantizeProgress& progress);

// What the float model answers: by tensor, a vector for each sample.
using Answers = std::map<int, std::vector<std::vector<float>>>;

// By tensor of the graph what it took; empty for constants and for what is not float32. Needs: samples.count > 0. E804 names every
// tensor in which NaN or infinities appear. `answers` gets those of the deciding tensors that are small.
std::vector<Histogram> calibrate(const TflGraph& graph, const Samples& samples, const Loader& load, int threads,
                                 const QuantizeProgress& progress, Diagnostics& diagnostics, Answers* answers = nullptr);

}  // namespace wherry
