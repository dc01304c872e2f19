// Runs a graph node by node over several samples, so that a constant can still be changed before its node runs.
#pragma once

#include "quantize/program.h"

#include <map>

namespace wherry {

class StepRun {
 public:
  // `graph` lives longer than this, and its nodes stay as they are.
  StepRun(TflGraph& graph, const Samples& samples, const Loader& load, int threads);
  // Node `n` is next: nodes come one after another from the first. It may run later, when its output is asked for.
  void step(std::size_t n);
  // Further samples from here on: they go through all nodes stepped so far at once.
  void join(const Samples& more);
  std::size_t count() const { return count_; }
  // The values of a tensor, one a sample, from several threads at once; computes what is still missing. Needs: its node was stepped.
  // The value of one sample after each() or compute().
  const Tensor& value(int tensor, std::size_t sample) const { return values_.at(tensor)[sample]; }
  void compute(int tensor) {
    if (!known(tensor)) flush();
  }
  void each(int tensor, const std::function<void(const Tensor& value, std::size_t sample)>& look);
  void replace(int tensor, Tensor constant, TflQuantization quantization);

 private:
  void flush();
  void forget();  // what no later node reads
  // Runs the nodes as one program on the samples from `first` on, given `in`, and keeps `out`.
  void run(const std::vector<std::size_t>& nodes, const std::vector<int>& in, const std::vector<int>& out, std::size_t first);
  void take(const Samples& samples, std::size_t first);
  bool known(int tensor) const { return values_.contains(tensor); }

  TflGraph& graph_;
  const Loader& load_;
  int threads_;
  std::size_t count_ = 0;
  std::vector<std::size_t> stepped_, pending_;  // all nodes stepped; those of them that have not run
  std::map<int, std::vector<Tensor>> values_;
  std::vector<std::size_t> last_use_;  // by tensor: the last node that reads it
};

}  // namespace wherry
