#include "quantize/target/judge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wherry {

namespace {

std::size_t largest_of(const std::vector<float>& values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

// The largest output's place and that of the largest beside it.
std::pair<std::size_t, std::size_t> two_largest(const std::vector<float>& values) {
  const std::size_t top = largest_of(values);
  std::size_t second = top == 0 && values.size() > 1 ? 1 : 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i != top && values[i] > values[second]) second = i;
  return {top, second};
}

// The share of the margins that noise of this deviation turns around.
double expected_flips(const std::vector<double>& margins, double deviation) {
  double flips = 0;
  for (const double margin : margins) flips += deviation > 0 ? 0.5 * std::erfc(margin / (std::sqrt(2.0) * deviation)) : 0;
  return flips / static_cast<double>(std::max<std::size_t>(margins.size(), 1));
}

double ordered_sum(std::vector<double> values) {
  std::ranges::sort(values);
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Judge::Judge(const TflGraph& reference, const Samples& samples, std::vector<int> labels, const Loader& load, int threads)
    : samples_(samples), labels_(std::move(labels)), load_(load), threads_(threads), outputs_(run(reference)) {}

std::vector<std::vector<float>> Judge::run(const TflGraph& graph) const {
  std::vector<std::vector<float>> out(samples_.count);
  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads_));
  parallel_for(samples_.count, threads_, [&](std::size_t i, int worker) {
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load_(graph, 1);
    program->run(samples_.load(i), [&](std::size_t port, const Tensor& value) {
      if (port == 0) out[i] = value.to_floats();
    });
  });
  return out;
}

Score Judge::score(const TflGraph& graph) const {
  const auto got = run(graph);
  double same = 0, right = 0, float_right = 0;
  std::vector<double> signals, noises, margins, margin_noises;  // by sample
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::vector<float>&wanted = outputs_[i], &found = got[i];
    double signal = 0, noise = 0;
    for (std::size_t k = 0; k < found.size(); ++k) {
      const double w = static_cast<double>(wanted[k]), error = static_cast<double>(found[k]) - w;
      signal += w * w;
      noise += error * error;
    }
    const auto [top, second] = two_largest(wanted);
    margins.push_back(static_cast<double>(wanted[top]) - static_cast<double>(wanted[second]));
    const double margin_error = static_cast<double>(found[top]) - static_cast<double>(found[second]) - margins.back();
    signals.push_back(signal);
    noises.push_back(noise);
    margin_noises.push_back(margin_error * margin_error);
    same += largest_of(found) == top;
    if (labels_.empty() || labels_[i] < 0) continue;
    right += largest_of(found) == static_cast<std::size_t>(labels_[i]);
    float_right += top == static_cast<std::size_t>(labels_[i]);
  }
  const auto n = static_cast<double>(std::max<std::size_t>(got.size(), 1));
  std::ranges::sort(margins);  // so that no order of the samples matters
  const double signal = ordered_sum(std::move(signals)), noise = ordered_sum(std::move(noises));
  return {.agreement = same / n,
          .expected = 1 - expected_flips(margins, std::sqrt(ordered_sum(std::move(margin_noises)) / n)),
          .sqnr_db = noise > 0 ? 10 * std::log10(signal / noise) : 200,
          .top1 = right / n,
          .float_top1 = float_right / n};
}

}  // namespace wherry
