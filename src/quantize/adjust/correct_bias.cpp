#include "quantize/adjust/correct_bias.h"

#include "quantize/adjust/patch_means.h"
#include "quantize/apply.h"
#include "quantize/step_run.h"
#include "quantize/weights.h"

#include <atomic>
#include <cmath>

namespace wherry {

namespace {

// Sums that do not depend on the order of their terms: multiples of a fixed unit.
class ExactSums {
 public:
  explicit ExactSums(std::size_t size) : sums_(size, 0) {}
  void add(std::span<const double> values, double unit) {
    for (std::size_t i = 0; i < values.size(); ++i) sums_[i] += static_cast<std::int64_t>(std::llround(values[i] / unit));
  }
  void add(const ExactSums& other) {
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  }
  std::vector<double> means(double unit, std::size_t count) const {
    std::vector<double> out;
    for (const std::int64_t s : sums_) out.push_back(static_cast<double>(s) * unit / static_cast<double>(count));
    return out;
  }

 private:
  std::vector<std::int64_t> sums_;
};

// A layer that is corrected: its place in the float graph, its input there, and its windows.
struct Target {
  int node = 0, input = 0;
  Windows windows;
  double unit = 0;  // of exact sums: far below the input's own step
};

std::vector<Target> targets_of(const TflGraph& graph, const Plan& plan) {
  std::vector<Target> out;
  for (const auto& [n, weight] : plan.weights) {
    const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
    const std::optional<Windows> windows = windows_of(graph, node);
    if (!windows || weight.bias.empty()) continue;
    const Grid& grid = plan.grids.at({node.inputs[0], *plan.nodes[static_cast<std::size_t>(n)]}).grid;
    out.push_back({n, node.inputs[0], *windows, std::ldexp(static_cast<double>(grid.scale), grid.dtype == DType::int16 ? -16 : -24)});
  }
  return out;
}

// Mean windows of the float model, by target.
std::vector<std::vector<double>> float_means(const TflGraph& graph, const std::vector<Target>& targets, const Samples& samples,
                                             const Loader& load, int threads, const QuantizeProgress& progress) {
  std::vector<int> taps;
  const auto is_input = [&](int id) { return std::ranges::any_of(graph.inputs, [&](const Port& p) { return p.value == id; }); };
  for (const Target& t : targets)
    if (!is_input(t.input) && std::ranges::find(taps, t.input) == taps.end()) taps.push_back(t.input);
  const TflGraph graph_with_taps = tapped(graph, taps);

  const auto workers = static_cast<std::size_t>(threads);
  std::vector<std::unique_ptr<Program>> programs(workers);
  std::vector<std::vector<ExactSums>> sums(workers);
  for (auto& part : sums)
    for (const Target& t : targets) part.emplace_back(static_cast<std::size_t>(t.windows.patch()));
  std::atomic<std::size_t> done = 0;
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    const auto w = static_cast<std::size_t>(worker);
    const std::vector<Tensor> inputs = samples.load(i);
    const auto add = [&](int id, const Tensor& value) {
      for (std::size_t t = 0; t < targets.size(); ++t)
        if (targets[t].input == id) sums[w][t].add(patch_means(value, {}, targets[t].windows), targets[t].unit);
    };
    for (std::size_t p = 0; p < inputs.size(); ++p) add(graph.inputs[p].value, inputs[p]);
    if (!taps.empty()) {
      if (!programs[w]) programs[w] = load(graph_with_taps, 1);
      programs[w]->run(inputs, [&](std::size_t k, const Tensor& value) { add(taps[k], value); });
    }
    if (const std::size_t at = ++done; worker == 0 && progress)
      progress("correct", static_cast<double>(at), 2 * static_cast<double>(samples.count));
  });
  std::vector<std::vector<double>> out;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    for (std::size_t w = 1; w < workers; ++w) sums[0][t].add(sums[w][t]);
    out.push_back(sums[0][t].means(targets[t].unit, samples.count));
  }
  return out;
}

// The weight's reals as the integers tell them.
std::vector<float> told_weight(const QuantizedWeight& weight, int axis) {
  const Channels channels = channels_of(weight.codes.sizes(), axis);
  const auto codes = weight.codes.as<std::int8_t>();
  std::vector<float> out(codes.size());
  for (std::int64_t o = 0; o < channels.outer; ++o)
    for (std::int64_t c = 0; c < channels.count; ++c)
      for (std::int64_t i = 0; i < channels.inner; ++i) {
        const auto at = static_cast<std::size_t>(channels.at(o, c, i));
        out[at] = weight.scales[static_cast<std::size_t>(c)] * static_cast<float>(codes[at]);
      }
  return out;
}

}  // namespace

void correct_bias(const TflGraph& graph, Plan& plan, const Samples& samples, const Loader& load, int threads,
                  const QuantizeProgress& progress) {
  const std::vector<Target> targets = targets_of(graph, plan);
  const auto wanted = float_means(graph, targets, samples, load, threads, progress);
  std::map<int, std::size_t> target_of;
  for (std::size_t t = 0; t < targets.size(); ++t) target_of[targets[t].node] = t;

  Quantized quantized = apply_plan(graph, plan, {});
  StepRun run(quantized.graph, samples, load, threads);
  for (std::size_t q = 0; q < quantized.graph.nodes.size(); ++q) {
    const auto found = quantized.nodes[q] < 0 ? target_of.end() : target_of.find(quantized.nodes[q]);
    if (found != target_of.end()) {
      const Target& target = targets[found->second];
      const TflNode& node = graph.nodes[static_cast<std::size_t>(target.node)];
      const BuiltinRule& rule = *rule_of(node.builtin);
      QuantizedWeight& weight = plan.weights.at(target.node);
      const Grid grid = plan.grids.at({target.input, *plan.nodes[static_cast<std::size_t>(target.node)]}).grid;

      std::vector<std::vector<double>> means(samples.count);
      run.each(quantized.graph.nodes[q].inputs[static_cast<std::size_t>(rule.input)],
               [&](const Tensor& codes, std::size_t i) { means[i] = patch_means(codes, grid, target.windows); });
      ExactSums sums(static_cast<std::size_t>(target.windows.patch()));
      for (const std::vector<double>& mean : means) sums.add(mean, target.unit);
      const std::vector<double> got = sums.means(target.unit, samples.count);

      const Tensor reals = tensor_at(graph, node.inputs[static_cast<std::size_t>(rule.weight)])->constant->contiguous();
      const auto y_q = respond(node, reals.sizes(), told_weight(weight, rule.axis), got, target.windows);
      const auto y_f = respond(node, reals.sizes(), reals.as<float>(), wanted[found->second], target.windows);
      for (std::size_t c = 0; c < weight.bias.size(); ++c) weight.bias[c] -= y_q[c] - y_f[c];
      const auto operand = [&](int place) { return quantized.graph.nodes[q].inputs[static_cast<std::size_t>(place)]; };
      if (fit_bias(weight, grid, rule.axis)) run.replace(operand(rule.weight), weight.codes, weight_quantization(weight, rule.axis));
      run.replace(operand(rule.bias), bias_codes(weight, grid), bias_quantization(weight, grid));
    }
    run.step(q);
    if (progress)
      progress("correct", static_cast<double>(quantized.graph.nodes.size() + q), 2 * static_cast<double>(quantized.graph.nodes.size()));
  }
}

}  // namespace wherry
