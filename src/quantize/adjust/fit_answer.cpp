#include "quantize/adjust/fit_answer.h"

#include "base/simd.h"
#include "ops/gemm.h"
#include "quantize/apply.h"
#include "quantize/program.h"
#include "quantize/rounding/patches.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include <cmath>

namespace wherry {

namespace {

constexpr double clear = 20;   // dB: noise below needs no threshold
constexpr double plainly = 3;  // dB above, on the first few samples: the others need not be asked
constexpr std::size_t few = 16;
constexpr double worthwhile = 0.9;  // of the squared error that is left

// What a last layer gives on every sample: from the integers before it, and in float. [samples, outputs]
struct Pairs {
  std::vector<float> found, wanted;
  std::size_t outputs = 0;
  std::size_t samples() const { return wanted.size() / outputs; }
  void add(const Pairs& more) {
    found.insert(found.end(), more.found.begin(), more.found.end());
    wanted.insert(wanted.end(), more.wanted.begin(), more.wanted.end());
  }
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

// Of the fresh samples from `first` up to `end`.
Pairs pairs_of(const TflGraph& graph, const Plan& plan, int n, const Samples& fresh, std::size_t first, std::size_t end,
               const Answers& known, const Loader& load, int threads) {
  const Samples samples{end - first, [&fresh, first](std::size_t i) { return fresh.load(first + i); }};
  const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
  const Windows windows = *windows_of(graph, node);
  const QuantizedWeight& weight = plan.weights.at(n);
  const Grid grid = plan.grids.at({node.inputs[0], *plan.nodes[static_cast<std::size_t>(n)]}).grid;
  const Quantized quantized = apply_plan(graph, plan, {});
  const auto place = static_cast<std::size_t>(std::ranges::find(quantized.nodes, n) - quantized.nodes.begin());
  const auto codes = values_of(quantized.graph, quantized.graph.nodes[place].inputs[0], samples, load, threads);
  const auto answers = known.find(node.outputs[0]);
  std::vector<Tensor> computed;
  if (answers == known.end()) computed = values_of(graph, node.outputs[0], samples, load, threads);

  Pairs out{.found = {}, .wanted = {}, .outputs = weight.bias.size()};
  const auto depth = static_cast<std::size_t>(windows.patch());
  std::vector<float> told, inputs(samples.count * depth);
  const std::span<const std::int8_t> weights = weight.codes.as<std::int8_t>();
  for (std::size_t i = 0; i < weights.size(); ++i) told.push_back(weight.scales[i / depth] * static_cast<float>(weights[i]));
  for (std::size_t i = 0; i < samples.count; ++i) {
    gather_windows(codes[i], grid, windows, sampled_windows(windows, 1, first + i), inputs.data() + i * depth);
    const std::span<const float> values = computed.empty() ? std::span<const float>(answers->second[first + i]) : computed[i].as<float>();
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
  Fit(const Pairs& answers, const Grid& grid) : answers_(answers), ends_(range_of(grid)) {}

  // In lanes, for the processor to take at once.
  double error(Line line) const {
    constexpr std::size_t lanes = 16, run = 1024;
    const std::size_t count = answers_.found.size();
    double sum = 0;
    for (std::size_t first = 0; first < count; first += run) {
      const float *found = answers_.found.data() + first, *wanted = answers_.wanted.data() + first;
      const std::size_t here = std::min(run, count - first), whole = here / lanes * lanes;
      float squares[lanes] = {};
      vectorised([&] {
        for (std::size_t i = 0; i < whole; i += lanes)
          for (std::size_t l = 0; l < lanes; ++l) {
            const float y = line.gain * found[i + l] + line.offset, limited = y < ends_.low ? ends_.low : y > ends_.high ? ends_.high : y;
            squares[l] += (limited - wanted[i + l]) * (limited - wanted[i + l]);
          }
      });
      for (std::size_t i = whole; i < here; ++i) {
        const float off = given(line, found[i]) - wanted[i];
        squares[i - whole] += off * off;
      }
      for (const float square : squares) sum += static_cast<double>(square);
    }
    return sum;
  }
  double sqnr(Line line) const {
    double signal = 0;
    for (const float x : answers_.wanted) signal += static_cast<double>(x * x);
    return 10 * std::log10(signal / std::max(error(line), 1e-30));
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
  Line best(float most, int threads) const {
    const float span = ends_.high - ends_.low;
    Line found;
    double least = error(found);
    float gain_step = 1.25F, offset_step = span / 32;
    int gains = 8, reach = 16;  // steps of the gain and of the offset to either side
    for (int round = 0; round < 3; ++round) {
      const Line around = found;
      std::vector<std::pair<double, Line>> by_gain(static_cast<std::size_t>(2 * gains + 1), {least, around});
      parallel_for(by_gain.size(), threads, [&](std::size_t g, int) {
        const float gain = around.gain * std::pow(gain_step, static_cast<float>(g) - static_cast<float>(gains));
        for (int o = -reach; o <= reach && gain <= most; ++o) {
          const Line line{gain, around.offset + static_cast<float>(o) * offset_step};
          if (const double e = error(line); e < by_gain[g].first) by_gain[g] = {e, line};
        }
      });
      for (const auto& [error, line] : by_gain)
        if (error < least) least = error, found = line;
      gains = reach = 4;
      gain_step = std::sqrt(std::sqrt(gain_step));
      offset_step /= 4;
    }
    return found;
  }

 private:
  float found(std::size_t sample, std::size_t output) const { return answers_.found[sample * answers_.outputs + output]; }
  float given(Line line, float x) const { return std::clamp(line.gain * x + line.offset, ends_.low, ends_.high); }

  const Pairs& answers_;
  Range ends_;
};

}  // namespace

void fit_answers(const TflGraph& graph, Plan& plan, const Samples& fresh, const Answers& known, const Loader& load, int threads) {
  if (fresh.count == 0) return;
  for (const int n : answering_nodes(graph, plan)) {
    const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
    const DType dtype = *plan.nodes[static_cast<std::size_t>(n)];
    const Grid& grid = plan.grids.at({node.outputs[0], dtype}).grid;
    const std::size_t first = std::min(few, fresh.count);
    Pairs answers = pairs_of(graph, plan, n, fresh, 0, first, known, load, threads);
    if (Fit(answers, grid).sqnr({}) >= clear + plainly) continue;
    if (first < fresh.count) answers.add(pairs_of(graph, plan, n, fresh, first, fresh.count, known, load, threads));
    const Fit fit(answers, grid);
    if (fit.sqnr({}) >= clear) continue;
    Line line;
    // A steeper line sends more to the upper end, where equals tie: as steep as it can be without a lost answer.
    float most = 8;
    for (int tries = 0; tries < 10; ++tries, most *= 0.8F) {  // down to 1
      line = fit.best(most, threads);
      if (fit.agreements(line) >= fit.agreements({})) break;
      line = {};
    }
    if (fit.error(line) > worthwhile * fit.error({})) continue;
    QuantizedWeight& weight = plan.weights.at(n);
    for (float& scale : weight.scales) scale *= line.gain;
    for (double& bias : weight.bias) bias = static_cast<double>(line.gain) * bias + static_cast<double>(line.offset);
    fit_bias(weight, plan.grids.at({node.inputs[0], dtype}).grid, rule_of(node.builtin)->axis);
    plan.answers.push_back({.node = n,
                            .gain = static_cast<double>(line.gain),
                            .offset = static_cast<double>(line.offset),
                            .sqnr_before = fit.sqnr({}),
                            .sqnr_after = fit.sqnr(line)});
  }
}

}  // namespace wherry
