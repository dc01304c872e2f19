// How a quantized graph does against the float one, on the same samples.
#pragma once

#include "quantize/program.h"

#include <vector>

namespace wherry {

struct Score {
  double agreement = 1;  // share of samples with the same largest output
  double expected = 1;   // what the float margins let expect under the noise of the margins
  double sqnr_db = 0;
  double top1 = 0, float_top1 = 0;  // where labels are known
};

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

}  // namespace wherry
