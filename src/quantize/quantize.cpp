#include "quantize/quantize.h"

#include "quantize/adjust/correct_bias.h"
#include "quantize/adjust/equalize.h"
#include "quantize/adjust/fit_answer.h"
#include "quantize/live_bytes.h"
#include "quantize/weights.h"

namespace wherry {

namespace {

constexpr std::size_t enough_to_tell_channels = 16, enough_to_tell_noise = 16, enough_to_fit_answers = 64;
constexpr double memory = 3e8;  // bytes, for the samples that go through a graph side by side

Samples chosen_of(const Samples& samples, const std::vector<std::size_t>& chosen) {
  return {.count = chosen.size(), .load = [load = samples.load, chosen](std::size_t i) { return load(chosen[i]); }};
}

ChannelMaps chosen_maps(const TflGraph& graph, const Samples& few, const QuantizeOptions& options, const Loader& load) {
  std::set<int> looked_at;
  if (options.centre)
    for (const int id : movable_tensors(graph)) looked_at.insert(id);
  if (options.equalize)
    for (const std::vector<int>& set : scalable_sets(graph)) looked_at.insert(set.begin(), set.end());
  const auto ranges = channel_ranges(graph, looked_at, few, load, options.threads);
  ChannelMaps maps;
  if (options.centre) maps.offsets = centring_offsets(graph, ranges);
  if (options.equalize && !ranges.empty()) maps.factors = equalizing_factors(graph, ranges, maps.offsets, options.threads);
  return maps;
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
  // Channels are moved and scaled for 8 bits.
  const bool narrow = options.plan.activations == DType::int8;
  const std::string how = fmt::format("{}{}", narrow && options.centre ? "centred" : "", narrow && options.equalize ? " equalized" : "");
  Statistics statistics = [&] {
    if (std::optional<Statistics> known = options.cache ? options.cache->find(source, how) : std::nullopt) return *std::move(known);
    Statistics out{.order = order_by_content(samples, options.threads, progress), .channels = {}, .tensors = {}, .answers = {}};
    if (narrow) out.channels = chosen_maps(source, first_of(chosen_of(samples, out.order), enough_to_tell_channels), options, load);
    out.tensors = calibrate(remapped(source, out.channels), samples, load, options.threads, progress, diagnostics, &out.answers);
    if (options.cache && !diagnostics.has_errors()) options.cache->keep(source, how, out);
    return out;
  }();
  diagnostics.throw_if_errors();
  // Of many samples a quarter is left out: the answer is fitted on what no weight has seen.
  const std::size_t most = std::min({late, std::max(early, 3 * samples.count / 4), samples.count});
  const std::vector<std::size_t>& order = statistics.order;
  const Samples typical = first_of(chosen_of(samples, order), most);
  const Samples few = first_of(typical, std::min(early, samples_within(source, memory)));
  QuantizeResult result;
  result.channels = std::move(statistics.channels);
  const TflGraph graph = remapped(source, result.channels);
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
