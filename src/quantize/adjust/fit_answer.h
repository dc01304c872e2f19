// The model's answer where quantization leaves noise as strong as the signal. The last layer's integers are then mostly noise around
// the values that most outputs have, and the few that matter stand out of it too weakly. A gain and an offset, least squares on
// samples that no weight was fitted to, with the grid's two ends cutting what lies beyond: a soft threshold (Donoho 1995), monotone,
// so that no order changes but among outputs at the ends. Layers that are less than 20 dB apart from the float ones are looked at;
// the weight's codes stay as they are.
#pragma once

#include "quantize/calibrate/calibrate.h"
#include "quantize/plan.h"

namespace wherry {

// Changes plan.weights' scales and biases and fills plan.answers. Needs: the weights are final; `fresh` samples did not decide them.
// `known`: the graph's answers to these; what it lacks is computed.
void fit_answers(const TflGraph& graph, Plan& plan, const Samples& fresh, const Answers& known, const Loader& load, int threads);

}  // namespace wherry
