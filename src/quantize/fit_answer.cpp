#include "quantize/fit_answer.h"

#include "ops/gemm.h"
#include "quantize/apply.h"
#include "quantize/patches.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include <cmath>

namespace wherry {

namespace {

constexpr double clear = 20;        // dB: noise below needs no threshold
constexpr double worthwhile = 0.9;  // of the squared error that is left

// What a last layer gives on every sample: from the integers before it, and in float. [samples, outputs]
struct Answers {
  std::vector<float> found, wanted;
  std::size_t outputs = 0;
  std::size_t samples() const { return wanted.size() / outputs; }
};

struct Line {
  float gain = 1, offset = 0;
};

// Layers whose output is the model's answer as it is, one vector a sample.
std::vector<int> answering_nodes(const TflGraph& graph, const Plan& plan) {
  const std::set<int> deciding = deciding_tensors(graph);
  std::vector<int> out;
  for (const auto& [n, weight] : plan.weights) {
    const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
    const std::optional<Windows> windows = windows_of(graph, node);
    const TflOption* activation = node.find("fused_activation_function");
    const bool cut = activation && !(activation->value == Attr(std::string("NONE")));
    const bool plain = windows && windows->out_h * windows->out_w == 1 && windows->patch() == windows->channels && !cut &&
                       node.builtin != "DEPTHWISE_CONV_2D" && tensor_at(graph, node.inputs[1])->sizes.back() == windows->channels;
    if (plain && !weight.bias.empty() && deciding.contains(node.outputs[0])) out.push_back(n);
  }
  return out;
}

// Runs `graph` up to the tensor on every sample.
std::vector<Tensor> values_of(TflGraph graph, int tensor, const Samples& samples, const Loader& load, int threads) {
  graph.outputs = {{"tap", tensor}};
  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads));
  std::vector<Tensor> out(samples.count);
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load(graph, 1);
    program->run(samples.load(i), [&](std::size_t, const Tensor& value) {
      out[i] = Tensor::uninitialised(value.dtype(), value.sizes());
      value.copy_to(out[i].mutable_data());
    });
  });
  return out;
}

Answers answers_of(const TflGraph& graph, const Plan& plan, int n, const Samples& samples, const Loader& load, int threads) {
  const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
  const Windows windows = *windows_of(graph, node);
  const QuantizedWeight& weight = plan.weights.at(n);
  const Grid grid = plan.grids.at({node.inputs[0], *plan.nodes[static_cast<std::size_t>(n)]}).grid;
  const Quantized quantized = apply_plan(graph, plan, {});
  const auto place = static_cast<std::size_t>(std::ranges::find(quantized.nodes, n) - quantized.nodes.begin());
  const auto codes = values_of(quantized.graph, quantized.graph.nodes[place].inputs[0], samples, load, threads);
  const auto reals = values_of(graph, node.outputs[0], samples, load, threads);

  Answers out{.found = {}, .wanted = {}, .outputs = weight.bias.size()};
  const auto depth = static_cast<std::size_t>(windows.patch());
  std::vector<float> told, inputs(samples.count * depth);
  for (std::size_t i = 0; i < weight.codes.as<std::int8_t>().size(); ++i)
    told.push_back(weight.scales[i / depth] * static_cast<float>(weight.codes.as<std::int8_t>()[i]));
  for (std::size_t i = 0; i < samples.count; ++i) {
    gather_windows(codes[i], grid, windows, sampled_windows(windows, 1, i), inputs.data() + i * depth);
    const auto values = reals[i].as<float>();
    out.wanted.insert(out.wanted.end(), values.begin(), values.end());
  }
  out.found.resize(out.wanted.size());
  const auto columns = static_cast<std::int64_t>(out.outputs);
  gemm(static_cast<std::int64_t>(samples.count), columns, static_cast<std::int64_t>(depth), inputs.data(),
       columns_of_transposed(told.data(), static_cast<std::int64_t>(depth)), nullptr, out.found.data());
  for (std::size_t i = 0; i < out.found.size(); ++i) out.found[i] += static_cast<float>(weight.bias[i % out.outputs]);
  return out;
}

class Fit {
 public:
  Fit(const Answers& answers, const Grid& grid) : answers_(answers), ends_(range_of(grid)) {}

  double error(Line line) const {
    double sum = 0;
    for (std::size_t i = 0; i < answers_.found.size(); ++i) {
      const float off = given(line, answers_.found[i]) - answers_.wanted[i];
      sum += static_cast<double>(off * off);
    }
    return sum;
  }
  double signal() const {
    double sum = 0;
    for (const float x : answers_.wanted) sum += static_cast<double>(x * x);
    return sum;
  }
  // Samples whose largest output is the float one's, as a runtime ranks: the first of equals.
  std::size_t agreements(Line line) const {
    std::size_t count = 0;
    for (std::size_t s = 0; s < answers_.samples(); ++s) {
      const std::span wanted(answers_.wanted.data() + s * answers_.outputs, answers_.outputs);
      std::size_t top = 0;
      for (std::size_t i = 1; i < answers_.outputs; ++i)
        if (given(line, found(s, i)) > given(line, found(s, top))) top = i;
      count += static_cast<std::size_t>(std::ranges::max_element(wanted) - wanted.begin()) == top;
    }
    return count;
  }

  // The least error of all lines of at most `most` gain: a coarse search, twice refined.
  Line best(float most) const {
    const float span = ends_.high - ends_.low;
    Line found;
    double least = error(found);
    float gain_step = 1.25F, offset_step = span / 32, middle = 1;
    int gains = 8, offsets = 16;
    for (int round = 0; round < 3; ++round) {
      const Line around = found;
      for (int g = -gains; g <= gains; ++g)
        for (int o = -offsets; o <= offsets; ++o) {
          const Line line{middle * std::pow(gain_step, static_cast<float>(g)), around.offset + static_cast<float>(o) * offset_step};
          if (line.gain > most) continue;
          if (const double e = error(line); e < least) least = e, found = line;
        }
      middle = found.gain;
      gain_step = std::sqrt(std::sqrt(gain_step));
      offset_step /= 4;
      gains = offsets = 4;
    }
    return found;
  }

 private:
  float found(std::size_t sample, std::size_t output) const { return answers_.found[sample * answers_.outputs + output]; }
  float given(Line line, float x) const { return std::clamp(line.gain * x + line.offset, ends_.low, ends_.high); }

  const Answers& answers_;
  Range ends_;
};

}  // namespace

void fit_answers(const TflGraph& graph, Plan& plan, const Samples& fresh, const Loader& load, int threads) {
  if (fresh.count == 0) return;
  for (const int n : answering_nodes(graph, plan)) {
    const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
    const DType dtype = *plan.nodes[static_cast<std::size_t>(n)];
    const Answers answers = answers_of(graph, plan, n, fresh, load, threads);
    const Fit fit(answers, plan.grids.at({node.outputs[0], dtype}).grid);
    const double before = fit.error({});
    const auto sqnr = [&](double error) { return 10 * std::log10(fit.signal() / std::max(error, 1e-30)); };
    if (sqnr(before) >= clear) continue;
    Line line;
    // A steeper line sends more to the upper end, where equals tie: as steep as it can be without a lost answer.
    for (float most = 8; most >= 1; most *= 0.8F) {
      line = fit.best(most);
      if (fit.agreements(line) >= fit.agreements({})) break;
      line = {};
    }
    if (fit.error(line) > worthwhile * before) continue;
    QuantizedWeight& weight = plan.weights.at(n);
    for (float& scale : weight.scales) scale *= line.gain;
    for (double& bias : weight.bias) bias = static_cast<double>(line.gain) * bias + static_cast<double>(line.offset);
    fit_bias(weight, plan.grids.at({node.inputs[0], dtype}).grid, rule_of(node.builtin)->axis);
    plan.answers.push_back({.node = n,
                            .gain = static_cast<double>(line.gain),
                            .offset = static_cast<double>(line.offset),
                            .sqnr_before = sqnr(before),
                            .sqnr_after = sqnr(fit.error(line))});
  }
}

}  // namespace wherry
