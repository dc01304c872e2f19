#include "quantize/quantize.h"

#include "quantize/correct_bias.h"
#include "quantize/equalize.h"
#include "quantize/fit_answer.h"
#include "quantize/live_bytes.h"
#include "quantize/weights.h"

namespace wherry {

namespace {

constexpr std::size_t enough_to_centre = 16, enough_to_tell_noise = 16, enough_to_fit_answers = 64;
constexpr double memory = 3e8;  // bytes, for the samples that go through a graph side by side

Samples chosen_of(const Samples& samples, const std::vector<std::size_t>& chosen) {
  return {.count = chosen.size(), .load = [load = samples.load, chosen](std::size_t i) { return load(chosen[i]); }};
}

void tell_answers(const TflGraph& graph, const Plan& plan, Diagnostics& diagnostics) {
  for (const AnswerFit& fit : plan.answers)
    diagnostics.add(
        {.code = "E812",
         .message = fmt::format("the integers' noise is as strong as the answer: {:.1f} dB. The last layer is stretched {:.2f} times "
                                "and moved by {:.2g}: {:.1f} dB on samples that no weight was fitted to",
                                fit.sqnr_before, fit.gain, fit.offset, fit.sqnr_after),
         .at = graph.nodes[static_cast<std::size_t>(fit.node)].path,
         .severity = Severity::warning});
}

}  // namespace

QuantizeResult quantize(const TflGraph& source, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics) {
  // Who pays for 16 bits gets what more samples bring.
  const bool careful = options.plan.activations == DType::int16;
  const std::size_t early = careful ? 2 * options.early_samples : options.early_samples;
  const std::size_t late = careful ? 5 * options.late_samples / 2 : options.late_samples;
  const auto measure = [&](const TflGraph& graph, bool centre) {
    const std::string how = centre ? "centred" : "";
    if (std::optional<Statistics> known = options.cache ? options.cache->find(graph, how) : std::nullopt) return *std::move(known);
    Statistics out{.order = order_by_content(samples, options.threads, progress), .offsets = {}, .tensors = {}, .answers = {}};
    if (centre) out.offsets = centring_offsets(graph, first_of(chosen_of(samples, out.order), enough_to_centre), load, options.threads);
    out.tensors = calibrate(centred(graph, out.offsets), samples, load, options.threads, progress, diagnostics, &out.answers);
    if (options.cache && !diagnostics.has_errors()) options.cache->keep(graph, how, out);
    return out;
  };
  Statistics statistics = measure(source, options.centre && options.plan.activations == DType::int8);
  diagnostics.throw_if_errors();
  // Of many samples a quarter is left out: the answer is fitted on what no weight has seen.
  const std::size_t most = std::min({late, std::max(early, 3 * samples.count / 4), samples.count});
  const std::vector<std::size_t>& order = statistics.order;
  const Samples typical = first_of(chosen_of(samples, order), most);
  const Samples few = first_of(typical, std::min(early, samples_within(source, memory)));
  QuantizeResult result;
  result.channels.offsets = std::move(statistics.offsets);
  TflGraph graph = centred(source, result.channels.offsets);
  if (options.equalize) {
    Factors factors = equalizing_factors(graph, few, load, options.threads, 0.5F);
    TflGraph tried = equalized(graph, factors);
    Statistics after = measure(tried, false);
    const Judge judge(source, few, {}, load, options.threads);
    const auto sqnr = [&](const TflGraph& candidate, const Statistics& measured) {
      Plan plan = make_plan(candidate, measured.tensors, options.plan, diagnostics);
      diagnostics.throw_if_errors();
      quantize_weights(candidate, plan);
      return judge.score(apply_plan(candidate, plan, {}).graph).sqnr_db;
    };
    if (sqnr(tried, after) > sqnr(graph, statistics)) {
      graph = std::move(tried);
      result.channels.factors = std::move(factors);
      statistics = std::move(after);
    }
  }
  result.plan = make_plan(graph, statistics.tensors, options.plan, diagnostics);
  diagnostics.throw_if_errors();
  std::vector<std::size_t> others(order.begin() + static_cast<std::ptrdiff_t>(most), order.end());
  others.resize(std::min(others.size(), enough_to_fit_answers));
  const Samples fresh = chosen_of(samples, others);
  Answers known;
  for (const auto& [tensor, answers] : statistics.answers)
    for (const std::size_t i : others) known[tensor].push_back(answers[i]);
  const auto weigh = [&](Plan& plan) {
    quantize_weights(graph, plan);
    if (options.rounding != Rounding::nearest)
      result.rounding =
          reconstruct(graph, plan, typical, load, {options.rounding, options.refit, few.count, memory, options.threads}, progress);
    else if (options.correct_bias)
      correct_bias(graph, plan, few, load, options.threads, progress);
    if (options.fit_answer) fit_answers(graph, plan, fresh, known, load, options.threads);
  };
  weigh(result.plan);
  if (options.rounding != Rounding::nearest) result.corrected_on = typical.count;
  if (options.rounding == Rounding::nearest && options.correct_bias) result.corrected_on = few.count;
  if (options.target) {
    const Judge judge(graph, samples, options.labels, load, options.threads);
    const auto noise = [&] {
      const Samples fewer = first_of(few, enough_to_tell_noise);
      return NoiseModel(graph, statistics.tensors, result.plan, result.rounding, {graph, fewer, {}, load, options.threads}, options.islands,
                        progress);
    };
    result.mixed = reach_accuracy(graph, statistics.tensors, result.plan, options.plan, options.islands, *options.target, judge, noise,
                                  weigh, progress, diagnostics);
    diagnostics.throw_if_errors();
    result.plan = result.mixed->plan;
  }
  tell_answers(graph, result.plan, diagnostics);
  result.quantized = apply_plan(graph, result.plan, options.apply);
  return result;
}

}  // namespace wherry
