#include "quantize/step_run.h"

#include "base/check.h"

#include <set>

namespace wherry {

StepRun::StepRun(TflGraph& graph, const Samples& samples, const Loader& load, int threads)
    : graph_(graph), load_(load), threads_(threads), count_(samples.count), last_use_(graph.tensors.size(), 0) {
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const int id : graph.nodes[n].inputs)
      if (id >= 0) last_use_[static_cast<std::size_t>(id)] = n;
  for (const Port& port : graph.inputs) values_[port.value].resize(count_);
  parallel_for(count_, threads, [&](std::size_t i, int) {
    const std::vector<Tensor> inputs = samples.load(i);
    for (std::size_t p = 0; p < inputs.size(); ++p) values_.at(graph.inputs[p].value)[i] = inputs[p].contiguous();
  });
}

void StepRun::step(std::size_t n) { pending_.push_back(n); }

void StepRun::replace(int tensor, Tensor constant, TflQuantization quantization) {
  TflTensor& changed = graph_.tensors[static_cast<std::size_t>(tensor)];
  changed.constant = std::move(constant);
  changed.quantization = std::move(quantization);
}

void StepRun::each(int tensor, const std::function<void(const Tensor&, std::size_t)>& look) {
  compute(tensor);
  const std::vector<Tensor>& values = values_.at(tensor);
  parallel_for(count_, threads_, [&](std::size_t i, int) { look(values[i], i); });
}

// Runs what is pending as one program, and keeps what later nodes read.
void StepRun::flush() {
  if (pending_.empty()) return;
  const std::size_t last = pending_.back();
  TflGraph part{.name = "part"};
  std::map<int, int> ids;
  std::set<int> produced;
  const auto id_of = [&](int id) {
    if (id < 0) return id;
    const auto [found, is_new] = ids.try_emplace(id, static_cast<int>(part.tensors.size()));
    if (is_new) part.tensors.push_back(graph_.tensors[static_cast<std::size_t>(id)]);
    return found->second;
  };
  std::vector<int> in, out;
  for (const std::size_t n : pending_) {
    TflNode node = graph_.nodes[n];
    for (int& id : node.inputs) {
      const bool computed = id >= 0 && !graph_.tensors[static_cast<std::size_t>(id)].constant;
      if (computed && !produced.contains(id) && std::ranges::find(in, id) == in.end()) in.push_back(id);
      id = id_of(id);
    }
    for (int& id : node.outputs) {
      produced.insert(id);
      if (last_use_[static_cast<std::size_t>(id)] > last) out.push_back(id);
      id = id_of(id);
    }
    part.nodes.push_back(std::move(node));
  }
  pending_.clear();
  for (const int id : in) part.inputs.push_back({fmt::format("in{}", part.inputs.size()), ids.at(id)});
  for (const int id : out) part.outputs.push_back({fmt::format("out{}", part.outputs.size()), ids.at(id)});

  if (!out.empty()) {
    std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads_));
    for (const int id : out) values_[id].resize(count_);
    parallel_for(count_, threads_, [&](std::size_t i, int worker) {
      std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
      if (!program) program = load_(part, 1);
      std::vector<Tensor> inputs;
      for (const int id : in) inputs.push_back(values_.at(id)[i]);
      program->run(inputs, [&](std::size_t k, const Tensor& value) {
        Tensor kept = Tensor::allocate(value.dtype(), value.sizes());
        value.copy_to(kept.mutable_data());
        values_.at(out[k])[i] = std::move(kept);
      });
    });
  }
  std::erase_if(values_, [&](const auto& entry) { return last_use_[static_cast<std::size_t>(entry.first)] <= last; });
}

}  // namespace wherry
