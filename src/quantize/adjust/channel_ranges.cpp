#include "quantize/adjust/channel_ranges.h"

#include "quantize/rules.h"

namespace wherry {

namespace {

struct Sums {
  std::vector<float> low, high;
  std::vector<double> sum, squares;
};

Sums sums_of(const Tensor& value, std::size_t wide) {
  const Tensor dense = value.contiguous();
  const auto x = dense.as<float>();
  Sums out{{x.begin(), x.begin() + static_cast<std::ptrdiff_t>(wide)}, {}, std::vector<double>(wide), std::vector<double>(wide)};
  out.high = out.low;
  constexpr std::size_t block = 256;  // places that are summed in float
  std::vector<float> sum(wide), squares(wide);
  for (std::size_t begin = 0; begin < x.size(); begin += block * wide) {
    std::fill(sum.begin(), sum.end(), 0.0F), std::fill(squares.begin(), squares.end(), 0.0F);
    for (std::size_t at = begin; at < std::min(begin + block * wide, x.size()); at += wide)
      for (std::size_t c = 0; c < wide; ++c) {
        const float v = x[at + c];
        out.low[c] = std::min(out.low[c], v), out.high[c] = std::max(out.high[c], v);
        sum[c] += v, squares[c] += v * v;
      }
    for (std::size_t c = 0; c < wide; ++c) out.sum[c] += static_cast<double>(sum[c]), out.squares[c] += static_cast<double>(squares[c]);
  }
  return out;
}

}  // namespace

std::size_t channels_of(const TflGraph& graph, int tensor) {
  const Sizes& sizes = tensor_at(graph, tensor)->sizes;
  return sizes.empty() ? 1 : static_cast<std::size_t>(sizes.back());
}

std::map<int, ChannelRanges> channel_ranges(const TflGraph& graph, const std::set<int>& tensors, const Samples& samples, const Loader& load,
                                            int threads) {
  if (tensors.empty() || samples.count == 0) return {};
  const std::vector<int> taps(tensors.begin(), tensors.end());
  const TflGraph graph_with_taps = tapped(graph, taps);
  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads));
  std::vector<std::vector<Sums>> sums(samples.count, std::vector<Sums>(tensors.size()));
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load(graph_with_taps, 1);
    program->run(samples.load(i),
                 [&](std::size_t tap, const Tensor& value) { sums[i][tap] = sums_of(value, channels_of(graph, taps[tap])); });
  });

  std::map<int, ChannelRanges> out;
  const auto count = static_cast<float>(samples.count);
  for (std::size_t tap = 0; tap < tensors.size(); ++tap) {
    const std::size_t wide = channels_of(graph, taps[tap]);
    const double places = static_cast<double>(element_count(tensor_at(graph, taps[tap])->sizes)) / static_cast<double>(wide) * count;
    ChannelRanges& ranges = out[taps[tap]];
    ranges.low = sums[0][tap].low, ranges.high = sums[0][tap].high;
    ranges.middle.resize(wide), ranges.variance.resize(wide);
    for (std::size_t c = 0; c < wide; ++c) {
      double sum = 0, squares = 0;
      for (const std::vector<Sums>& sample : sums) {
        const Sums& one = sample[tap];
        ranges.low[c] = std::min(ranges.low[c], one.low[c]), ranges.high[c] = std::max(ranges.high[c], one.high[c]);
        ranges.middle[c] += (one.low[c] + one.high[c]) / 2 / count;
        sum += one.sum[c], squares += one.squares[c];
      }
      const double mean = sum / places;
      ranges.variance[c] = static_cast<float>(std::max(squares / places - mean * mean, 0.0));
    }
  }
  return out;
}

}  // namespace wherry
