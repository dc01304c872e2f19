// Accuracy as an input: which parts of the model stay in another precision so that a stated accuracy holds, at the least cost.
#pragma once

#include "quantize/plan.h"
#include "quantize/target/noise.h"

#include <string>

namespace wherry {

struct AccuracyTarget {
  enum Metric { agreement, sqnr, top1_drop } metric = agreement;
  double bound = 0;  // a share for agreement (at least) and top1_drop (at most), dB for sqnr (at least)
};
// "agreement >= 99.5%", "sqnr >= 30 dB", "top1 drop <= 0.5%". E901 for anything else.
AccuracyTarget parse_accuracy_target(const std::string& text);
std::string text(const AccuracyTarget& target);

bool reaches(const Score& score, const AccuracyTarget& target);

struct ParetoPoint {
  std::string added;   // the first of the nodes that were added last, by its path; "" for none
  double outside = 0;  // share of multiply-accumulates that is not int8
  Score score;
};

struct MixedResult {
  Plan plan;
  std::vector<ParetoPoint> pareto;  // as they were tried, by size
  std::size_t chosen = 0;
  bool reached = false;
};

// Islands of `precision` (float32 or int16), those first that take out the most noise for their multiply-accumulates, as many as the
// target needs (found by bisection). `base` is the finished plan that has none; `weigh` makes a plan's weights as the base's were made.
// E810 where even all useful islands do not reach it, E813 where it is reached by luck.
MixedResult reach_accuracy(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& base, const PlanOptions& options,
                           DType precision, const AccuracyTarget& target, const Judge& judge, const std::function<NoiseModel()>& measure,
                           const std::function<void(Plan&)>& weigh, const QuantizeProgress& progress, Diagnostics& diagnostics);

}  // namespace wherry
