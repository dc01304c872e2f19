#include "quantize/calibrate/calibrate.h"

#include "quantize/plan.h"
#include "quantize/rules.h"

#include <atomic>
#include <numeric>

namespace wherry {

namespace {

constexpr float least_nothing = 1e30F;
constexpr std::size_t most_answers = std::size_t{1} << 22;  // values that are kept of one tensor

// The activations that nodes make.
std::vector<int> activations(const TflGraph& graph) {
  std::vector<int> out;
  for (const TflNode& node : graph.nodes)
    for (const int id : node.outputs)
      if (is_real_tensor(graph, id)) out.push_back(id);
  return out;
}

// FNV-1a over the inputs' bytes, eight at a time: the same for the same content.
std::uint64_t content_hash(const std::vector<Tensor>& inputs) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const Tensor& input : inputs) {
    const Tensor dense = input.contiguous();
    const std::byte* bytes = dense.data();
    for (std::size_t at = 0; at + 8 <= dense.bytes(); at += 8) {
      std::uint64_t word = 0;
      std::copy_n(bytes + at, 8, reinterpret_cast<std::byte*>(&word));
      hash = (hash ^ word) * 1099511628211ULL;
      hash ^= hash >> 29;
    }
  }
  return hash;
}

// Tensors padded with "nothing" (-infinity, or the lowest float, before a maximum): such values are no part of a range, and in
// integers the lowest code stands for them.
std::vector<bool> padded_with_nothing(const TflGraph& graph) {
  std::vector<bool> out(graph.tensors.size(), false);
  const auto nothing = [](float x) { return x <= -least_nothing; };
  for (const TflNode& node : graph.nodes) {
    const BuiltinRule* rule = rule_of(node.builtin);
    if (!rule || rule->kind != BuiltinRule::same_scale || node.builtin == "SELECT_V2") continue;
    bool found = std::ranges::any_of(node.inputs, [&](int id) { return id >= 0 && out[static_cast<std::size_t>(id)]; });
    if (node.builtin == "PADV2")
      found = found || nothing(tensor_at(graph, node.inputs[2])->constant.value_or(Tensor::scalar(0)).to_floats()[0]);
    for (const int id : node.outputs) out[static_cast<std::size_t>(id)] = found;
  }
  return out;
}

void add_values(std::span<const float> values, bool padded, Histogram& to) {
  if (!padded) return to.add(values);
  std::vector<float> kept;
  std::ranges::copy_if(values, std::back_inserter(kept), [](float x) { return !(x <= -least_nothing); });
  to.add(kept);
}

void refuse_poison(const TflGraph& graph, const std::vector<Histogram>& tensors, Diagnostics& diagnostics) {
  const auto poisoned = [&](int id) { return id >= 0 && !tensors[static_cast<std::size_t>(id)].finite(); };
  for (const Port& port : graph.inputs)
    if (poisoned(port.value))
      diagnostics.add(
          {.code = "E804", .message = fmt::format("the calibration data for input '{}' has NaN or infinite numbers", port.name)});
  for (const TflNode& node : graph.nodes) {
    if (std::ranges::any_of(node.inputs, poisoned) || !std::ranges::any_of(node.outputs, poisoned)) continue;  // the first is to blame
    diagnostics.add({.code = "E804",
                     .message = fmt::format("{} gives NaN or infinite numbers on the calibration data", node.builtin),
                     .at = node.path});
  }
}

}  // namespace

std::vector<std::size_t> order_by_content(const Samples& samples, int threads, const QuantizeProgress& progress) {
  std::vector<std::uint64_t> hashes(samples.count);
  std::atomic<std::size_t> done = 0;
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    hashes[i] = content_hash(samples.load(i));
    if (const std::size_t at = ++done; worker == 0 && progress)
      progress("read", static_cast<double>(at), static_cast<double>(samples.count));
  });
  std::vector<std::size_t> by_hash(samples.count);
  std::iota(by_hash.begin(), by_hash.end(), 0);
  std::ranges::sort(by_hash, [&](std::size_t a, std::size_t b) { return std::pair(hashes[a], a) < std::pair(hashes[b], b); });
  return by_hash;
}

std::vector<Histogram> calibrate(const TflGraph& graph, const Samples& samples, const Loader& load, int threads,
                                 const QuantizeProgress& progress, Diagnostics& diagnostics, Answers* answers) {
  const std::vector<int> taps = activations(graph);
  const TflGraph graph_with_taps = tapped(graph, taps);
  Answers kept;
  for (const int id : answers ? deciding_tensors(graph) : std::set<int>{}) {
    const auto values = static_cast<std::size_t>(element_count(graph.tensors[static_cast<std::size_t>(id)].sizes)) * samples.count;
    if (values <= most_answers && std::ranges::find(taps, id) != taps.end()) kept[id].resize(samples.count);
  }
  const auto workers = static_cast<std::size_t>(threads);
  const std::vector<bool> padded = padded_with_nothing(graph);
  std::vector<std::unique_ptr<Program>> programs(workers);
  std::vector<std::vector<Histogram>> parts(workers, std::vector<Histogram>(graph.tensors.size()));
  std::atomic<std::size_t> done = 0;
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    const auto w = static_cast<std::size_t>(worker);
    if (!programs[w]) programs[w] = load(graph_with_taps, 1);
    const std::vector<Tensor> inputs = samples.load(i);
    for (std::size_t p = 0; p < inputs.size(); ++p)
      if (inputs[p].dtype() == DType::float32)
        parts[w][static_cast<std::size_t>(graph.inputs[p].value)].add(inputs[p].contiguous().as<float>());
    programs[w]->run(inputs, [&](std::size_t t, const Tensor& value) {
      const auto tensor = static_cast<std::size_t>(taps[t]);
      add_values(value.as<float>(), padded[tensor], parts[w][tensor]);
      if (const auto answer = kept.find(taps[t]); answer != kept.end()) answer->second[i] = value.to_floats();
    });
    if (const std::size_t at = ++done; worker == 0 && progress)
      progress("calibrate", static_cast<double>(at), static_cast<double>(samples.count));
  });

  std::vector<Histogram> tensors = std::move(parts[0]);
  for (std::size_t w = 1; w < workers; ++w)
    for (std::size_t t = 0; t < tensors.size(); ++t) tensors[t].add(parts[w][t]);
  refuse_poison(graph, tensors, diagnostics);
  if (answers) *answers = std::move(kept);
  return tensors;
}

}  // namespace wherry
