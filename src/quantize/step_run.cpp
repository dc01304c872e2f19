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
  take(samples, 0);
}

void StepRun::take(const Samples& samples, std::size_t first) {
  parallel_for(samples.count, threads_, [&](std::size_t i, int) {
    const std::vector<Tensor> inputs = samples.load(i);
    for (std::size_t p = 0; p < inputs.size(); ++p) values_.at(graph_.inputs[p].value)[first + i] = inputs[p].contiguous();
  });
}

void StepRun::step(std::size_t n) {
  stepped_.push_back(n);
  pending_.push_back(n);
}

void StepRun::join(const Samples& more) {
  flush();
  std::vector<int> live, in;
  for (const auto& [id, unused] : values_) live.push_back(id);
  for (const Port& port : graph_.inputs) in.push_back(port.value), values_[port.value];
  const std::size_t first = count_;
  count_ += more.count;
  for (auto& [id, values] : values_) values.resize(count_);
  take(more, first);
  std::erase_if(live, [&](int id) { return std::ranges::find(in, id) != in.end(); });
  run(stepped_, in, live, first);
  forget();
}

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
  std::vector<int> in, out;
  std::set<int> produced;
  for (const std::size_t n : pending_) {
    for (const int id : graph_.nodes[n].inputs) {
      const bool computed = id >= 0 && !graph_.tensors[static_cast<std::size_t>(id)].constant;
      if (computed && !produced.contains(id) && std::ranges::find(in, id) == in.end()) in.push_back(id);
    }
    for (const int id : graph_.nodes[n].outputs) {
      produced.insert(id);
      if (last_use_[static_cast<std::size_t>(id)] > pending_.back()) out.push_back(id);
    }
  }
  for (const int id : out) values_[id].resize(count_);
  run(pending_, in, out, 0);
  pending_.clear();
  forget();
}

void StepRun::forget() {
  if (stepped_.empty()) return;
  std::erase_if(values_, [&](const auto& entry) { return last_use_[static_cast<std::size_t>(entry.first)] <= stepped_.back(); });
}

void StepRun::run(const std::vector<std::size_t>& nodes, const std::vector<int>& in, const std::vector<int>& out, std::size_t first) {
  if (out.empty() || first == count_) return;
  TflGraph part{.name = "part"};
  std::map<int, int> ids;
  const auto id_of = [&](int id) {
    if (id < 0) return id;
    const auto [found, is_new] = ids.try_emplace(id, static_cast<int>(part.tensors.size()));
    if (is_new) part.tensors.push_back(graph_.tensors[static_cast<std::size_t>(id)]);
    return found->second;
  };
  for (const std::size_t n : nodes) {
    TflNode node = graph_.nodes[n];
    for (int& id : node.inputs) id = id_of(id);
    for (int& id : node.outputs) id = id_of(id);
    part.nodes.push_back(std::move(node));
  }
  for (const int id : in) part.inputs.push_back({fmt::format("in{}", part.inputs.size()), id_of(id)});
  for (const int id : out) part.outputs.push_back({fmt::format("out{}", part.outputs.size()), id_of(id)});

  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads_));
  parallel_for(count_ - first, threads_, [&](std::size_t k, int worker) {
    const std::size_t i = first + k;
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load_(part, 1);
    std::vector<Tensor> inputs;
    for (const int id : in) inputs.push_back(values_.at(id)[i]);
    program->run(inputs, [&](std::size_t o, const Tensor& value) {
      Tensor kept = Tensor::uninitialised(value.dtype(), value.sizes());
      value.copy_to(kept.mutable_data());
      values_.at(out[o])[i] = std::move(kept);
    });
  });
}

}  // namespace wherry
