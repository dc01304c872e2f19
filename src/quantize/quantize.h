// Float graph and calibration data → integer graph: the stages of quantization in their order.
#pragma once

#include "quantize/adjust/channel_maps.h"
#include "quantize/adjust/fit_answer.h"
#include "quantize/apply.h"
#include "quantize/calibrate/statistics_cache.h"
#include "quantize/plan.h"
#include "quantize/rounding/reconstruct.h"
#include "quantize/target/mixed.h"

namespace wherry {

struct QuantizeOptions {
  PlanOptions plan;
  ApplyOptions apply;
  std::optional<AccuracyTarget> target = {};
  std::vector<int> labels = {};    // by sample, for a target of top1; -1: unknown
  DType islands = DType::float32;  // what the target is reached with
  bool correct_bias = true;
  Rounding rounding = Rounding::gptq;
  bool refit = true;
  bool fit_answer = true;          // where the integers' noise is as strong as the answer
  bool centre = true;              // move channels to the middle, for 8-bit activations
  bool equalize = true;            // and scale them, where less noise is to be expected by it
  std::size_t early_samples = 32;  // that weights and biases are adjusted with, where tensors are large
  std::size_t late_samples = 64;   // and where so many fit into memory
  int threads = 2;
  std::shared_ptr<const StatisticsCache> cache = nullptr;  // nullptr: everything is measured
};

struct QuantizeResult {
  ChannelMaps channels;  // the plan is for the graph behind these
  Plan plan;
  Quantized quantized;
  std::size_t corrected_on = 0;  // samples that weights and biases were adjusted with
  std::vector<LayerRounding> rounding;
  std::optional<MixedResult> mixed;  // with a target
};

// Fails with all that stands in the way (E803, E804).
QuantizeResult quantize(const TflGraph& graph, const Samples& samples, const QuantizeOptions& options, const Loader& load,
                        const QuantizeProgress& progress, Diagnostics& diagnostics);

}  // namespace wherry
