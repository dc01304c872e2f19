// What calibration and correction ask of their surroundings: something that runs TFLite graphs, and data.
#pragma once

#include "ops/tfl.h"

#include <functional>
#include <memory>
#include <span>

namespace wherry {

class Program {
 public:
  virtual ~Program() = default;
  using Look = std::function<void(std::size_t output, const Tensor& view)>;
  // One tensor for each input of the graph, in its order; `look` is called for each output in turn with a view that ends with the
  // call. Not for two threads at once.
  virtual void run(std::span<const Tensor> inputs, const Look& look) = 0;
};
// Makes a graph ready to run on that many threads. cli/ gives LiteRT's.
using Loader = std::function<std::unique_ptr<Program>(const TflGraph& graph, int threads)>;

// Inputs of the model as the float graph takes them. Any thread may ask for any sample, and again.
struct Samples {
  std::size_t count = 0;
  std::function<std::vector<Tensor>(std::size_t)> load;
};
inline Samples first_of(Samples samples, std::size_t count) {
  samples.count = std::min(samples.count, count);
  return samples;
}

// The graph with these tensors as outputs in place of its own.
TflGraph tapped(TflGraph graph, const std::vector<int>& tensors);

using QuantizeProgress = std::function<void(std::string_view stage, double done, double total)>;

// Calls each(i, worker) for i in [0, count) from `threads` threads; worker < threads. The first exception ends it and is thrown on.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t i, int worker)>& each);

}  // namespace wherry
