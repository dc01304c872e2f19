#include "quantize/target/mixed.h"

#include "quantize/apply.h"
#include "quantize/rules.h"

#include <cmath>
#include <numeric>
#include <regex>

namespace wherry {

namespace {

double total_macs(const TflGraph& graph) {
  return std::accumulate(graph.nodes.begin(), graph.nodes.end(), 0.0, [&](double sum, const TflNode& n) { return sum + macs(graph, n); });
}

// The plan with islands; its weights are not yet made.
Plan with_islands(const TflGraph& graph, const std::vector<Histogram>& tensors, PlanOptions options, DType precision,
                  const std::vector<bool>& island) {
  options.allow_float = true;
  for (std::size_t n = 0; n < island.size(); ++n)
    if (island[n]) options.nodes[static_cast<int>(n)] = precision;
  Diagnostics repeated;  // said already for the base
  return make_plan(graph, tensors, options, repeated);
}

struct Islands {
  std::vector<bool> nodes;
  double outside = 0;  // share of the multiply-accumulates
  std::string added;   // the first of the nodes that came last
  double worth = 0;    // share of the noise that these take out, for their share of the cost
};

// Sets of islands that grow, each by the nodes that take out the most noise for what they cost: neighbours in execution order, or what
// makes and what reads one tensor (the sums of a residual stream).
class Growth {
 public:
  Growth(const TflGraph& graph, const NoiseModel& noise) : graph_(graph), noise_(noise), costs_(graph.nodes.size()) {
    const double all = std::max(total_macs(graph), 1.0);
    for (std::size_t n = 0; n < costs_.size(); ++n) costs_[n] = macs(graph, graph.nodes[n]) / all;
    const int count = static_cast<int>(costs_.size());
    for (int first = 0; first < count; ++first)
      for (int last = first; last < std::min(first + longest, count); ++last) {
        std::vector<int>& move = moves_.emplace_back();
        for (int n = first; n <= last; ++n) move.push_back(n);
      }
    for (int n = 0; n < count; ++n)
      for (int reader = n + longest; reader < count; ++reader)
        if (std::ranges::any_of(graph.nodes[static_cast<std::size_t>(n)].outputs,
                                [&](int id) { return std::ranges::count(graph.nodes[static_cast<std::size_t>(reader)].inputs, id) > 0; }))
          moves_.push_back({n, reader});
  }

  // Begins with those nodes.
  std::vector<Islands> from(const std::vector<int>& nodes) const {
    std::vector<Islands> out;
    Islands now{.nodes = std::vector<bool>(costs_.size()), .added = {}};
    double noise = noise_.left(now.nodes);
    for (const std::vector<int>* move = nodes.empty() ? next(now, noise) : &nodes; move; move = next(now, noise)) {
      now.worth = worth(now, noise, *move);
      now.added = graph_.nodes[static_cast<std::size_t>(move->front())].path;
      for (const int n : *move) {
        if (!now.nodes[static_cast<std::size_t>(n)]) now.outside += costs_[static_cast<std::size_t>(n)];
        now.nodes[static_cast<std::size_t>(n)] = true;
      }
      noise = noise_.left(now.nodes);
      out.push_back(now);
    }
    return out;
  }

 private:
  static constexpr int longest = 8;           // nodes side by side: a bottleneck and what adds it
  static constexpr double step = 1e-3;        // what a node costs beside its multiply-accumulates: conversions at its borders
  static constexpr double worthwhile = 1e-3;  // of the noise

  double worth(const Islands& now, double noise, const std::vector<int>& move) const {
    std::vector<bool> grown = now.nodes;
    double cost = 0;
    for (const int n : move) {
      if (!grown[static_cast<std::size_t>(n)]) cost += costs_[static_cast<std::size_t>(n)] + step;
      grown[static_cast<std::size_t>(n)] = true;
    }
    const double less = noise - noise_.left(grown);
    return less > worthwhile * noise ? less / noise / cost : 0;
  }

  const std::vector<int>* next(const Islands& now, double noise) const {
    const std::vector<int>* best = nullptr;
    double most = 0;
    for (const std::vector<int>& move : moves_)
      if (const double w = worth(now, noise, move); w > most) best = &move, most = w;
    return best;
  }

  const TflGraph& graph_;
  const NoiseModel& noise_;
  std::vector<double> costs_;
  std::vector<std::vector<int>> moves_;
};

// Integers tie where two answers are closer than a step, whatever comes before: where the order of answers counts, what decides it comes
// first, if it is cheap.
std::vector<int> deciding_nodes(const TflGraph& graph) {
  constexpr double cheap = 0.05;  // of the multiply-accumulates
  const std::set<int> deciding = deciding_tensors(graph);
  std::vector<int> out;
  double cost = 0;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    if (std::ranges::any_of(graph.nodes[n].outputs, [&](int id) { return deciding.contains(id); })) {
      out.push_back(static_cast<int>(n));
      cost += macs(graph, graph.nodes[n]);
    }
  return cost < cheap * total_macs(graph) ? out : std::vector<int>{};
}

// Whether the margins let expect less of other samples than is asked.
bool by_luck(const Score& score, const AccuracyTarget& target) {
  return target.metric == AccuracyTarget::agreement && score.expected < target.bound;
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

MixedResult reach_accuracy(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& base, const PlanOptions& options,
                           DType precision, const AccuracyTarget& target, const Judge& judge, const std::function<NoiseModel()>& measure,
                           const std::function<void(Plan&)>& weigh, const QuantizeProgress& progress, Diagnostics& diagnostics) {
  const auto score = [&](const Plan& plan) { return judge.score(apply_plan(graph, plan, {}).graph); };
  MixedResult result{.plan = base, .pareto = {{"", 0, score(base)}}};
  result.reached = reaches(result.pareto[0].score, target);
  if (result.reached && !by_luck(result.pareto[0].score, target)) return result;
  const NoiseModel noise = measure();
  const std::vector<Islands> choices =
      Growth(graph, noise).from(target.metric == AccuracyTarget::sqnr ? std::vector<int>{} : deciding_nodes(graph));

  const double most_tries = 2 * std::log2(static_cast<double>(choices.size()) + 2);
  std::map<std::size_t, std::pair<Plan, ParetoPoint>> tried;
  const auto with = [&](std::size_t count) -> const ParetoPoint& {
    if (const auto found = tried.find(count); found != tried.end()) return found->second.second;
    const Islands& islands = choices[count - 1];
    Plan plan = with_islands(graph, tensors, options, precision, islands.nodes);
    weigh(plan);
    ParetoPoint reached{islands.added, islands.outside, score(plan)};
    if (progress) progress("choose", std::min(static_cast<double>(tried.size() + 1), most_tries), most_tries);
    return tried.emplace(count, std::pair(std::move(plan), std::move(reached))).first->second.second;
  };
  const auto holds = [&](std::size_t count) { return reaches(with(count).score, target); };
  std::size_t low = 0, high = 0;
  // Where the margins say that other samples would miss the target, what takes out much noise for little is not saved at.
  constexpr double bargain = 3;  // per cent of the noise for each per cent of the multiply-accumulates
  if (by_luck(result.pareto[0].score, target)) {
    std::size_t most = 0;
    while (most < choices.size() && (most == 0 || choices[most].worth >= bargain)) ++most;
    if (most > 0 && holds(most)) low = high = most, result.reached = true;
  }
  // Else as few as hold: doubling, then bisection between.
  for (std::size_t count = 1; !result.reached && high < choices.size(); count *= 2) {
    low = high;
    high = std::min(count, choices.size());
    result.reached = holds(high);
  }
  while (result.reached && high > low + 1) {
    const std::size_t middle = (low + high) / 2;
    (holds(middle) ? high : low) = middle;
  }
  if (high > 0) result.plan = tried.at(high).first;
  for (auto& [count, entry] : tried) {
    if (count == high) result.chosen = result.pareto.size();
    result.pareto.push_back(std::move(entry.second));
  }
  if (!result.reached)
    diagnostics.add(
        {.code = "E810",
         .message = fmt::format("{} is not reached: {:.1f}% agreement, {:.1f} dB with every useful operator in {}", text(target),
                                100 * result.pareto.back().score.agreement, result.pareto.back().score.sqnr_db, name(precision))});
  else if (const Score& chosen = result.pareto[result.chosen].score; by_luck(chosen, target))
    diagnostics.add({.code = "E813",
                     .message = fmt::format("{} holds on the {} samples given, but by their margins {:.1f}% is to be expected of others",
                                            text(target), judge.count(), 100 * chosen.expected),
                     .severity = Severity::warning});
  return result;
}

}  // namespace wherry
