#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/equalize.h"
#include "quantize/weights.h"

namespace wherry {

QuantizeResult quantize(const TflGraph& source, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  Statistics statistics = calibrate(source, samples, load, options.threads, options.correction_samples, progress, diagnostics);
  diagnostics.throw_if_errors();
  TflGraph graph = source;
  if (options.equalize > 0) {
    graph = equalized(source, equalizing_factors(source, samples, statistics.typical, load, options.threads, options.equalize));
    statistics = calibrate(graph, samples, load, options.threads, options.correction_samples, progress, diagnostics);
  }
  QuantizeResult result;
  result.plan = make_plan(graph, statistics, options.plan, diagnostics);
  diagnostics.throw_if_errors();
  quantize_weights(graph, result.plan);
  if (options.rounding != Rounding::nearest)
    reconstruct(graph, result.plan, samples, statistics.typical, load, {options.rounding, options.refit, options.threads}, progress);
  else if (options.correct_bias)
    correct_bias(graph, result.plan, samples, statistics.typical, load, options.threads, progress);
  result.quantized = apply_plan(graph, result.plan, options.apply);
  return result;
}

}  // namespace wherry
