// Weights that make up for what quantization does to their inputs. Layer by layer in execution order, with the runtime's own
// integers as inputs:
//   1. refit: the weight that gives the float layer's output from the quantized layer's inputs, least squares with a pull towards
//      the original weight whose strength is chosen on images left out of the fit (GPTAQ's asymmetric target, arXiv 2504.02692);
//   2. round: each weight's rounding error is made up for by the weights not yet rounded (GPTQ, arXiv 2210.17323: Cholesky factor of
//      the inverse Gram matrix);
//   3. correct: the bias takes what is left of the mean shift.
#pragma once

#include "quantize/plan.h"

namespace wherry {

enum class Rounding { nearest, gptq, adaround };
std::string_view name(Rounding rounding);

struct ReconstructOptions {
  Rounding rounding = Rounding::gptq;
  bool refit = true;
  std::size_t early = 64;  // samples that begin; the others join where all fit into `memory` bytes: small maps have few windows each
  double memory = 3e8;
  int threads = 2;
};

struct LayerRounding {
  int node = 0;
  double nearest = 0, chosen = 0;  // E|W x - Wq x|² over the layer's quantized inputs
};

// Changes plan.weights. Needs: quantize_weights() has run.
std::vector<LayerRounding> reconstruct(const TflGraph& graph, Plan& plan, const Samples& samples, const Loader& load,
                                       const ReconstructOptions& options, const QuantizeProgress& progress);

}  // namespace wherry
