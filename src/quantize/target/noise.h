// Where a quantized network's noise comes from: what each rounding alone adds to the error of the output. Roundings are almost
// independent, so that their energies add up, and what islands in another precision would leave is known without making them.
#pragma once

#include "quantize/plan.h"
#include "quantize/rounding/reconstruct.h"
#include "quantize/target/judge.h"

namespace wherry {

class NoiseModel {
 public:
  // Measures each rounding of the plan's activations by itself on the judge's samples. Of weights it takes what reconstruct() tells;
  // without that, they are as if rounded to nearest. `islands`: their precision; in int16 weights stay int8.
  NoiseModel(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& plan, const std::vector<LayerRounding>& rounding,
             const Judge& judge, DType islands, const QuantizeProgress& progress);

  // The noise's energy relative to the output's, where the nodes of `island` are not in the plan's precision.
  double left(const std::vector<bool>& island) const;

 private:
  // An activation that the plan rounds.
  struct Activation {
    int producer = -1;  // -1: an input of the model
    std::vector<int> readers;
    double rounded = 0;           // where its producer rounds it
    std::vector<double> by_read;  // where the reader does
  };
  std::vector<Activation> activations_;
  std::vector<double> weights_;  // by node
};

}  // namespace wherry
