#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/equalize.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include <numeric>

namespace wherry {

namespace {

// As many samples as can be kept, each with all its live tensors, in `budget` bytes.
std::size_t samples_within(const TflGraph& graph, double budget) {
  std::vector<std::size_t> last(graph.tensors.size(), 0);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const int id : graph.nodes[n].inputs)
      if (id >= 0) last[static_cast<std::size_t>(id)] = n;
  double live = 0, most = 1;
  std::vector<std::pair<std::size_t, double>> ending;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const int id : graph.nodes[n].outputs) {
      const TflTensor& tensor = *tensor_at(graph, id);
      const auto bytes = static_cast<double>(element_count(tensor.sizes)) * 5;  // float32 on one side, int8 on the other
      live += bytes;
      ending.emplace_back(last[static_cast<std::size_t>(id)], bytes);
    }
    most = std::max(most, live);
    std::erase_if(ending, [&](const auto& e) {
      if (e.first <= n) live -= e.second;
      return e.first <= n;
    });
  }
  return static_cast<std::size_t>(std::max(budget / most, 8.0));
}

// The chosen samples, loaded once.
Samples kept(const Samples& samples, const std::vector<std::size_t>& chosen, int threads) {
  auto all = std::make_shared<std::vector<std::vector<Tensor>>>(chosen.size());
  parallel_for(chosen.size(), threads, [&](std::size_t i, int) { (*all)[i] = samples.load(chosen[i]); });
  return {.count = chosen.size(), .load = [all](std::size_t i) { return (*all)[i]; }};
}

}  // namespace

QuantizeResult quantize(const TflGraph& source, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  const std::size_t most = std::min(options.correction_samples, samples_within(source, 3e8));
  const auto measure = [&](const TflGraph& graph) {
    if (std::optional<Statistics> known = options.cache ? options.cache->find(graph, most) : std::nullopt) return *std::move(known);
    Statistics statistics = calibrate(graph, samples, load, options.threads, most, progress, diagnostics);
    if (options.cache && !diagnostics.has_errors()) options.cache->keep(graph, most, statistics);
    return statistics;
  };
  Statistics statistics = measure(source);
  diagnostics.throw_if_errors();
  const Samples typical = kept(samples, statistics.typical, options.threads);
  QuantizeResult result;
  TflGraph graph = source;
  if (options.equalize) {
    Factors factors = equalizing_factors(source, typical, load, options.threads, 0.5F);
    TflGraph tried = equalized(source, factors);
    Statistics after = measure(tried);
    const Judge judge(source, typical, {}, load, options.threads);
    const auto sqnr = [&](const TflGraph& candidate, const Statistics& measured) {
      Plan plan = make_plan(candidate, measured, options.plan, diagnostics);
      diagnostics.throw_if_errors();
      quantize_weights(candidate, plan);
      return judge.score(apply_plan(candidate, plan, {}).graph).sqnr_db;
    };
    if (sqnr(tried, after) > sqnr(source, statistics)) {
      graph = std::move(tried);
      result.factors = std::move(factors);
      statistics = std::move(after);
    }
  }
  result.plan = make_plan(graph, statistics, options.plan, diagnostics);
  diagnostics.throw_if_errors();
  const auto weigh = [&](Plan& plan) {
    quantize_weights(graph, plan);
    if (options.rounding != Rounding::nearest)
      result.rounding = reconstruct(graph, plan, typical, load, {options.rounding, options.refit, options.threads}, progress);
    else if (options.correct_bias)
      correct_bias(graph, plan, typical, load, options.threads, progress);
  };
  weigh(result.plan);
  if (options.rounding != Rounding::nearest || options.correct_bias) result.corrected_on = typical.count;
  if (options.target) {
    const Judge judge(graph, samples, options.labels, load, options.threads);
    result.mixed =
        reach_accuracy(graph, statistics, result.plan, options.plan, options.islands, *options.target, judge, weigh, progress, diagnostics);
    diagnostics.throw_if_errors();
    result.plan = result.mixed->plan;
  }
  result.quantized = apply_plan(graph, result.plan, options.apply);
  return result;
}

}  // namespace wherry
