#include "quantize/mixed.h"

#include "base/text.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include <atomic>
#include <cmath>
#include <numeric>
#include <regex>

namespace wherry {

namespace {

std::size_t largest_of(const std::vector<float>& values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

// The largest output's place and that of the largest beside it.
std::pair<std::size_t, std::size_t> two_largest(const std::vector<float>& values) {
  const std::size_t top = largest_of(values);
  std::size_t second = top == 0 && values.size() > 1 ? 1 : 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i != top && values[i] > values[second]) second = i;
  return {top, second};
}

// The share of the margins that noise of this deviation turns around.
double expected_flips(const std::vector<double>& margins, double deviation) {
  double flips = 0;
  for (const double margin : margins) flips += deviation > 0 ? 0.5 * std::erfc(margin / (std::sqrt(2.0) * deviation)) : 0;
  return flips / static_cast<double>(std::max<std::size_t>(margins.size(), 1));
}

double total_macs(const TflGraph& graph) {
  return std::accumulate(graph.nodes.begin(), graph.nodes.end(), 0.0, [&](double sum, const TflNode& n) { return sum + macs(graph, n); });
}

struct Candidate {
  std::vector<int> nodes;
  double cost = 0;  // share of the multiply-accumulates
  double gain = 0;  // noise energy removed, relative to the base's
};

// The plan with islands; its weights are not yet made.
Plan with_islands(const TflGraph& graph, const std::vector<Histogram>& tensors, PlanOptions options, DType precision,
                  std::span<const Candidate> islands) {
  options.allow_float = true;
  for (const Candidate& island : islands)
    for (const int n : island.nodes) options.nodes[n] = precision;
  Diagnostics repeated;  // said already for the base
  return make_plan(graph, tensors, options, repeated);
}

}  // namespace

AccuracyTarget parse_accuracy_target(const std::string& text) {
  static const std::regex form(R"(\s*(agreement|sqnr|top1 drop)\s*(>=|<=)\s*([0-9.]+)\s*(%|dB|db)?\s*)");
  std::smatch found;
  if (std::regex_match(text, found, form)) {
    const std::string metric = found[1], relation = found[2], unit = found[4];
    const double value = std::strtod(found[3].str().c_str(), nullptr);
    if (metric == "agreement" && relation == ">=" && unit != "dB" && unit != "db")
      return {AccuracyTarget::agreement, unit == "%" ? value / 100 : value};
    if (metric == "sqnr" && relation == ">=" && unit != "%") return {AccuracyTarget::sqnr, value};
    if (metric == "top1 drop" && relation == "<=" && unit != "dB" && unit != "db")
      return {AccuracyTarget::top1_drop, unit == "%" ? value / 100 : value};
  }
  fail({.code = "E901",
        .message = fmt::format("--accuracy-target '{}' is not understood", text),
        .next = "write \"agreement >= 99.5%\", \"sqnr >= 30 dB\" or \"top1 drop <= 0.5%\""});
}

std::string text(const AccuracyTarget& target) {
  switch (target.metric) {
    case AccuracyTarget::agreement: return fmt::format("agreement >= {:g}%", 100 * target.bound);
    case AccuracyTarget::sqnr: return fmt::format("sqnr >= {:g} dB", target.bound);
    case AccuracyTarget::top1_drop: return fmt::format("top1 drop <= {:g}%", 100 * target.bound);
  }
  return {};
}

bool reaches(const Score& score, const AccuracyTarget& target) {
  switch (target.metric) {
    case AccuracyTarget::agreement: return score.agreement >= target.bound;
    case AccuracyTarget::sqnr: return score.sqnr_db >= target.bound;
    case AccuracyTarget::top1_drop: return score.float_top1 - score.top1 <= target.bound;
  }
  return false;
}

Judge::Judge(const TflGraph& reference, const Samples& samples, std::vector<int> labels, const Loader& load, int threads)
    : samples_(samples), labels_(std::move(labels)), load_(load), threads_(threads), outputs_(run(reference)) {}

std::vector<std::vector<float>> Judge::run(const TflGraph& graph) const {
  std::vector<std::vector<float>> out(samples_.count);
  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads_));
  parallel_for(samples_.count, threads_, [&](std::size_t i, int worker) {
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load_(graph, 1);
    program->run(samples_.load(i), [&](std::size_t port, const Tensor& value) {
      if (port == 0) out[i] = value.to_floats();
    });
  });
  return out;
}

namespace {

double ordered_sum(std::vector<double> values) {
  std::ranges::sort(values);
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Score Judge::score(const TflGraph& graph) const {
  const auto got = run(graph);
  double same = 0, right = 0, float_right = 0;
  std::vector<double> signals, noises, margins, margin_noises;  // by sample
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::vector<float>&wanted = outputs_[i], &found = got[i];
    double signal = 0, noise = 0;
    for (std::size_t k = 0; k < found.size(); ++k) {
      const double w = static_cast<double>(wanted[k]), error = static_cast<double>(found[k]) - w;
      signal += w * w;
      noise += error * error;
    }
    const auto [top, second] = two_largest(wanted);
    margins.push_back(static_cast<double>(wanted[top]) - static_cast<double>(wanted[second]));
    const double margin_error = static_cast<double>(found[top]) - static_cast<double>(found[second]) - margins.back();
    signals.push_back(signal);
    noises.push_back(noise);
    margin_noises.push_back(margin_error * margin_error);
    same += largest_of(found) == top;
    if (labels_.empty() || labels_[i] < 0) continue;
    right += largest_of(found) == static_cast<std::size_t>(labels_[i]);
    float_right += top == static_cast<std::size_t>(labels_[i]);
  }
  const auto n = static_cast<double>(std::max<std::size_t>(got.size(), 1));
  std::ranges::sort(margins);  // so that no order of the samples matters
  const double signal = ordered_sum(std::move(signals)), noise = ordered_sum(std::move(noises));
  return {.agreement = same / n,
          .expected = 1 - expected_flips(margins, std::sqrt(ordered_sum(std::move(margin_noises)) / n)),
          .sqnr_db = noise > 0 ? 10 * std::log10(signal / noise) : 200,
          .top1 = right / n,
          .float_top1 = float_right / n};
}

std::vector<std::vector<int>> blocks_of(const TflGraph& graph) {
  std::vector<std::size_t> last(graph.tensors.size(), 0);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const int id : graph.nodes[n].inputs)
      if (id >= 0) last[static_cast<std::size_t>(id)] = n;
  std::vector<std::vector<int>> out(1);
  std::set<int> live;
  bool has_work = false;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const TflNode& node = graph.nodes[n];
    out.back().push_back(static_cast<int>(n));
    has_work = has_work || macs(graph, node) > 0;
    for (const int id : node.outputs)
      if (is_real_tensor(graph, id) && last[static_cast<std::size_t>(id)] > n) live.insert(id);
    std::erase_if(live, [&](int id) { return last[static_cast<std::size_t>(id)] <= n; });
    if (live.size() == 1 && has_work && n + 1 < graph.nodes.size()) {
      out.emplace_back();
      has_work = false;
    }
  }
  return out;
}

MixedResult reach_accuracy(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& base, const PlanOptions& options,
                           DType precision, const AccuracyTarget& target, const Judge& judge, const std::function<void(Plan&)>& weigh,
                           const QuantizeProgress& progress, Diagnostics& diagnostics) {
  const auto score = [&](const Plan& plan) { return judge.score(apply_plan(graph, plan, {}).graph); };
  MixedResult result{.plan = base, .pareto = {{"", 0, score(base)}}};
  result.reached = reaches(result.pareto[0].score, target);
  if (result.reached) return result;

  // How much noise each block takes out when it alone is not int8. Weights rounded to nearest: those of `base` make up for noise
  // before them, and would be wrong without it.
  const auto noise_with = [&](std::span<const Candidate> islands) {
    Plan plan = with_islands(graph, tensors, options, precision, islands);
    quantize_weights(graph, plan);
    return std::pow(10, -score(plan).sqnr_db / 10);
  };
  const double all_macs = std::max(total_macs(graph), 1.0), base_noise = noise_with({});
  std::vector<Candidate> candidates;
  const auto blocks = blocks_of(graph);
  for (const std::vector<int>& block : blocks) {
    Candidate candidate{.nodes = block};
    for (const int n : block) candidate.cost += macs(graph, graph.nodes[static_cast<std::size_t>(n)]) / all_macs;
    candidate.gain = 1 - noise_with(std::span(&candidate, 1)) / base_noise;
    candidates.push_back(std::move(candidate));
    if (progress) progress("choose", static_cast<double>(candidates.size()), static_cast<double>(blocks.size() + 6));
  }
  std::erase_if(candidates, [](const Candidate& c) { return c.gain <= -0.05; });
  std::ranges::stable_sort(candidates,
                           [](const Candidate& a, const Candidate& b) { return a.gain / (a.cost + 1e-3) > b.gain / (b.cost + 1e-3); });

  // Integers tie where two answers are closer than a step, whatever comes before: where the order of answers counts, the block that
  // decides it comes first.
  if (target.metric != AccuracyTarget::sqnr) {
    const std::set<int> deciding = deciding_tensors(graph);
    std::ranges::stable_partition(candidates, [&](const Candidate& c) {
      return c.cost < 0.05 &&
             std::ranges::any_of(c.nodes, [&](int n) { return deciding.contains(graph.nodes[static_cast<std::size_t>(n)].outputs[0]); });
    });
  }

  std::map<std::size_t, std::pair<Plan, ParetoPoint>> tried;
  const auto with = [&](std::size_t count) -> const ParetoPoint& {
    if (const auto found = tried.find(count); found != tried.end()) return found->second.second;
    const std::span<const Candidate> islands(candidates.data(), count);
    double outside = 0;
    for (const Candidate& c : islands) outside += c.cost;
    Plan plan = with_islands(graph, tensors, options, precision, islands);
    weigh(plan);
    ParetoPoint reached{graph.nodes[static_cast<std::size_t>(islands.back().nodes[0])].path, outside, score(plan)};
    if (progress) progress("choose", static_cast<double>(blocks.size() + tried.size()), static_cast<double>(blocks.size() + 6));
    return tried.emplace(count, std::pair(std::move(plan), std::move(reached))).first->second.second;
  };
  // Doubling until it holds, then bisection between.
  std::size_t low = 0, high = 0;
  for (std::size_t count = 1; !result.reached && high < candidates.size(); count *= 2) {
    low = high;
    high = std::min(count, candidates.size());
    result.reached = reaches(with(high).score, target);
  }
  while (result.reached && high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (reaches(with(middle).score, target) ? high : low) = middle;
  }
  if (high > 0) result.plan = tried.at(high).first;
  for (auto& [count, entry] : tried) {
    if (count == high) result.chosen = result.pareto.size();
    result.pareto.push_back(std::move(entry.second));
  }
  if (!result.reached)
    diagnostics.add(
        {.code = "E810",
         .message = fmt::format("{} is not reached: {:.1f}% agreement, {:.1f} dB with every useful block in {}", text(target),
                                100 * result.pareto.back().score.agreement, result.pareto.back().score.sqnr_db, name(precision))});
  return result;
}

}  // namespace wherry
