#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/weights.h"

namespace wherry {

QuantizeResult quantize(const TflGraph& graph, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  const Statistics statistics =
      calibrate(graph, samples, load, options.threads, options.correction_samples, progress, diagnostics);
  diagnostics.throw_if_errors();
  QuantizeResult result;
  result.plan = make_plan(graph, statistics, options.plan, diagnostics);
  diagnostics.throw_if_errors();
  quantize_weights(graph, result.plan);
  if (options.correct_bias) correct_bias(graph, result.plan, samples, statistics.typical, load, options.threads, progress);
  result.quantized = apply_plan(graph, result.plan, options.apply);
  return result;
}

}  // namespace wherry
