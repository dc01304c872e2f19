// Sequential empirical bias correction (Nagel et al. 2019, arXiv 1906.04721, section 4.2): layer by layer, each with all before it
// already corrected, the mean shift that quantization causes is taken out of the bias. The quantized side is the runtime's own
// integer kernels, not a simulation.
#pragma once

#include "quantize/plan.h"

namespace wherry {

// Changes plan.weights[…].bias. Needs: quantize_weights() has run. `typical`: the samples that are used.
void correct_bias(const TflGraph& graph, Plan& plan, const Samples& samples, const Loader& load, int threads,
                  const QuantizeProgress& progress);

}  // namespace wherry
