#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/equalize.h"
#include "quantize/fit_answer.h"
#include "quantize/live_bytes.h"
#include "quantize/weights.h"

namespace wherry {

namespace {

constexpr double memory = 3e8;  // bytes, for the samples that go through a graph side by side

Samples chosen_of(const Samples& samples, std::vector<std::size_t> chosen) {
  return {.count = chosen.size(), .load = [load = samples.load, chosen](std::size_t i) { return load(chosen[i]); }};
}

std::vector<std::size_t> all_but(const std::vector<std::size_t>& chosen, std::size_t count) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < count; ++i)
    if (std::ranges::find(chosen, i) == chosen.end()) out.push_back(i);
  return out;
}

Samples first_of(Samples samples, std::size_t count) {
  samples.count = std::min(samples.count, count);
  return samples;
}

}  // namespace

QuantizeResult quantize(const TflGraph& source, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  const auto measure = [&](const TflGraph& graph) {
    // Of many a quarter is left out: the answer is fitted on what no weight has seen.
    const std::size_t most = std::min(options.late_samples, std::max(options.early_samples, 3 * samples.count / 4));
    if (std::optional<Statistics> known = options.cache ? options.cache->find(graph, most) : std::nullopt) return *std::move(known);
    Statistics statistics = calibrate(graph, samples, load, options.threads, most, progress, diagnostics);
    if (options.cache && !diagnostics.has_errors()) options.cache->keep(graph, most, statistics);
    return statistics;
  };
  Statistics statistics = measure(source);
  diagnostics.throw_if_errors();
  const Samples typical = chosen_of(samples, statistics.typical);
  const Samples few = first_of(typical, std::min(options.early_samples, samples_within(source, memory)));
  QuantizeResult result;
  TflGraph graph = source;
  if (options.equalize) {
    Factors factors = equalizing_factors(source, few, load, options.threads, 0.5F);
    TflGraph tried = equalized(source, factors);
    Statistics after = measure(tried);
    const Judge judge(source, few, {}, load, options.threads);
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
  const Samples fresh = chosen_of(samples, all_but(statistics.typical, samples.count));
  const auto weigh = [&](Plan& plan) {
    quantize_weights(graph, plan);
    if (options.rounding != Rounding::nearest)
      result.rounding =
          reconstruct(graph, plan, typical, load, {options.rounding, options.refit, few.count, memory, options.threads}, progress);
    else if (options.correct_bias)
      correct_bias(graph, plan, few, load, options.threads, progress);
    if (options.fit_answer) result.answers = fit_answers(graph, plan, fresh, load, options.threads);
  };
  weigh(result.plan);
  if (options.rounding != Rounding::nearest) result.corrected_on = typical.count;
  if (options.rounding == Rounding::nearest && options.correct_bias) result.corrected_on = few.count;
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
