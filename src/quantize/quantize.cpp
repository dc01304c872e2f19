#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/equalize.h"
#include "quantize/weights.h"

#include <numeric>

namespace wherry {

namespace {

// The chosen samples, loaded once.
Samples kept(const Samples& samples, const std::vector<std::size_t>& chosen, int threads) {
  auto all = std::make_shared<std::vector<std::vector<Tensor>>>(chosen.size());
  parallel_for(chosen.size(), threads, [&](std::size_t i, int) { (*all)[i] = samples.load(chosen[i]); });
  return {.count = chosen.size(), .load = [all](std::size_t i) { return (*all)[i]; }};
}

}  // namespace

QuantizeResult quantize(const TflGraph& source, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  Statistics statistics = calibrate(source, samples, load, options.threads, options.correction_samples, progress, diagnostics);
  diagnostics.throw_if_errors();
  const Samples typical = kept(samples, statistics.typical, options.threads);
  TflGraph graph = source;
  if (options.equalize > 0) {
    graph = equalized(source, equalizing_factors(source, typical, load, options.threads, options.equalize));
    statistics = calibrate(graph, samples, load, options.threads, options.correction_samples, progress, diagnostics);
  }
  QuantizeResult result;
  result.plan = make_plan(graph, statistics, options.plan, diagnostics);
  diagnostics.throw_if_errors();
  quantize_weights(graph, result.plan);
  if (options.rounding != Rounding::nearest)
    reconstruct(graph, result.plan, typical, load, {options.rounding, options.refit, options.threads}, progress);
  else if (options.correct_bias)
    correct_bias(graph, result.plan, typical, load, options.threads, progress);
  result.quantized = apply_plan(graph, result.plan, options.apply);
  return result;
}

}  // namespace wherry
