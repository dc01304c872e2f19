// Accuracy as an input: which parts of the model stay in another precision so that a stated accuracy holds, at the least cost.
#pragma once

#include "quantize/apply.h"
#include "quantize/plan.h"

#include <string>

namespace wherry {

struct AccuracyTarget {
  enum Metric { agreement, sqnr, top1_drop } metric = agreement;
  double bound = 0;  // a share for agreement (at least) and top1_drop (at most), dB for sqnr (at least)
};
// "agreement >= 99.5%", "sqnr >= 30 dB", "top1 drop <= 0.5%". E901 for anything else.
AccuracyTarget parse_accuracy_target(const std::string& text);
std::string text(const AccuracyTarget& target);

// How a quantized graph does against the float one.
struct Score {
  double agreement = 1;  // share of samples with the same largest output
  double expected = 1;   // what the float margins let expect under the noise of the margins
  double sqnr_db = 0;
  double top1 = 0, float_top1 = 0;  // where labels are known
};
bool reaches(const Score& score, const AccuracyTarget& target);

// Runs graphs on the same samples and scores their first output.
class Judge {
 public:
  Judge(const TflGraph& reference, const Samples& samples, std::vector<int> labels, const Loader& load, int threads);
  Score score(const TflGraph& graph) const;
  std::size_t count() const { return outputs_.size(); }

 private:
  std::vector<std::vector<float>> run(const TflGraph& graph) const;
  const Samples& samples_;
  std::vector<int> labels_;
  const Loader& load_;
  int threads_;
  std::vector<std::vector<float>> outputs_;
};

// Nodes that stand between two points that a single tensor crosses: an island never cuts a residual connection.
std::vector<std::vector<int>> blocks_of(const TflGraph& graph);

struct ParetoPoint {
  std::string added;   // the block that was added last, by its first node's path; "" for none
  double outside = 0;  // share of multiply-accumulates that is not int8
  Score score;
};

struct MixedResult {
  Plan plan;
  std::vector<ParetoPoint> pareto;  // as they were tried, by size
  std::size_t chosen = 0;
  bool reached = false;
};

// Islands of `precision` (float32 or int16), the most useful for their cost first, as many as the target needs (found by
// bisection). `base` is the finished plan that has none; `weigh` makes a plan's weights as the base's were made. E810 as a warning
// where even all useful islands do not reach it.
MixedResult reach_accuracy(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& base, const PlanOptions& options,
                           DType precision, const AccuracyTarget& target, const Judge& judge, const std::function<void(Plan&)>& weigh,
                           const QuantizeProgress& progress, Diagnostics& diagnostics);

}  // namespace wherry
