#include "quantize/adjust/equalize.h"

#include "quantize/rules.h"

#include <cmath>
#include <numeric>
#include <set>

namespace wherry {

namespace {

constexpr double worth_it = 0.5;           // of the noise before: what few samples promise is not exact
constexpr float least_factor = 1.0F / 64;  // a channel that is nearly always zero would otherwise be scaled to noise

bool homogeneous_activation(const TflNode& node) {
  const TflOption* fused = node.find("fused_activation_function");
  return !fused || fused->value == Attr(std::string("NONE")) || fused->value == Attr(std::string("RELU"));
}

// What an operator does to a scaling of channels.
enum class Through { absorbs, ties, stops };

Through through(const TflGraph& graph, const TflNode& node) {
  const auto same_channels = [&] { return channels_of(graph, node.inputs[0]) == channels_of(graph, node.outputs[0]); };
  if (weighted_rule(graph, node)) {
    if (node.builtin == "TRANSPOSE_CONV") return Through::stops;
    if (node.builtin == "DEPTHWISE_CONV_2D") return same_channels() ? Through::absorbs : Through::stops;
    const std::int64_t depth = tensor_at(graph, node.inputs[1])->sizes.back();
    return depth == static_cast<std::int64_t>(channels_of(graph, node.inputs[0])) ? Through::absorbs : Through::stops;  // no groups
  }
  if (!homogeneous_activation(node)) return Through::stops;
  if (node.builtin == "ADD") {
    const Sizes &a = tensor_at(graph, node.inputs[0])->sizes, &b = tensor_at(graph, node.inputs[1])->sizes;
    const bool computed = !tensor_at(graph, node.inputs[0])->constant && !tensor_at(graph, node.inputs[1])->constant;
    return a == b && computed ? Through::ties : Through::stops;
  }
  if (node.builtin == "MEAN") {
    const TflTensor& axes = *tensor_at(graph, node.inputs[1]);
    if (!axes.constant || !same_channels()) return Through::stops;
    const auto rank = static_cast<std::int64_t>(tensor_at(graph, node.inputs[0])->sizes.size());
    for (const std::int64_t axis : axes.constant->to_ints())
      if (axis == rank - 1 || axis == -1) return Through::stops;
    return Through::ties;
  }
  constexpr std::string_view ties[] = {"PAD",    "RELU", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
                                       "RESHAPE"};
  return std::ranges::find(ties, node.builtin) != std::end(ties) && same_channels() ? Through::ties : Through::stops;
}

class Sets {
 public:
  explicit Sets(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }
  int root(int i) const {
    while (parent_[static_cast<std::size_t>(i)] != i) i = parent_[static_cast<std::size_t>(i)];
    return i;
  }
  void tie(int a, int b) { parent_[static_cast<std::size_t>(std::max(root(a), root(b)))] = std::min(root(a), root(b)); }

 private:
  std::vector<int> parent_;
};

// What a tensor must hold, by channel.
struct Reach {
  std::vector<float> low, high;  // once moved
  float most(std::size_t c) const { return std::max(std::abs(low[c]), std::abs(high[c])); }
};

// A layer that reads a tensor of a set, by the tensor's channels.
struct Reader {
  std::vector<double> response;  // the sum of its squared weights
  std::vector<double> variance;  // of what it reads
  std::vector<float> weights;    // [rows, places, channels]; none of a depthwise layer, whose rows have a scale each
  std::size_t per_row = 0;
};

class NoiseOfSet {
 public:
  NoiseOfSet(const TflGraph& graph, const std::vector<int>& set, const std::map<int, ChannelRanges>& ranges, const Offsets& offsets) {
    for (const int id : set) {
      const ChannelRanges& seen = ranges.at(id);
      Reach reach{seen.low, seen.high};
      if (const auto moved = offsets.find(id); moved != offsets.end())
        for (std::size_t c = 0; c < reach.low.size(); ++c) reach.low[c] -= moved->second[c], reach.high[c] -= moved->second[c];
      reaches_.push_back(std::move(reach));
    }
    for (const TflNode& node : graph.nodes) {
      if (!weighted_rule(graph, node) || std::ranges::find(set, node.inputs[0]) == set.end()) continue;
      readers_.push_back(reader(graph, node, ranges.at(node.inputs[0])));
    }
  }

  // By channel, the most that any of the tensors needs of its range.
  std::vector<float> shares() const {
    std::vector<float> out(reaches_[0].low.size());
    for (const Reach& reach : reaches_) {
      float top = 1e-30F;
      for (std::size_t c = 0; c < out.size(); ++c) top = std::max(top, reach.most(c));
      for (std::size_t c = 0; c < out.size(); ++c) out[c] = std::max(out[c], reach.most(c) / top);
    }
    return out;
  }

  // Against the signal, summed over the readers: each rounding is uniform, and all are independent.
  double of(const std::vector<float>& factors) const {
    double activations = 0;  // variance, before it is scaled back by channel
    for (const Reach& reach : reaches_) {
      float low = 0, high = 0;
      for (std::size_t c = 0; c < factors.size(); ++c)
        low = std::min(low, reach.low[c] / factors[c]), high = std::max(high, reach.high[c] / factors[c]);
      activations += std::pow((high - low) / 255.0, 2) / 12;
    }
    double sum = 0;
    for (const Reader& reader : readers_) {
      double noise = 0, signal = 1e-30, read = 0;
      for (std::size_t c = 0; c < factors.size(); ++c) {
        const double factor = factors[c];
        noise += activations * reader.response[c] * factor * factor;
        signal += reader.response[c] * reader.variance[c];
        read += reader.variance[c] / (factor * factor);
      }
      sum += (noise + weight_noise(reader, factors) * read) / signal;
    }
    return sum;
  }

 private:
  static Reader reader(const TflGraph& graph, const TflNode& node, const ChannelRanges& seen) {
    const Tensor weight = tensor_at(graph, node.inputs[1])->constant->contiguous();
    std::vector<float> values = weight.to_floats();
    Reader out{std::vector<double>(seen.variance.size()), {seen.variance.begin(), seen.variance.end()}, {}, 0};
    for (std::size_t at = 0; at < values.size(); at += out.response.size())
      for (std::size_t c = 0; c < out.response.size(); ++c)
        out.response[c] += static_cast<double>(values[at + c]) * static_cast<double>(values[at + c]);
    if (node.builtin == "DEPTHWISE_CONV_2D") return out;
    out.per_row = values.size() / static_cast<std::size_t>(weight.sizes()[0]);
    out.weights = std::move(values);
    return out;
  }

  // The variance that rounding gives one weight, summed over rows and a window's places.
  static double weight_noise(const Reader& reader, const std::vector<float>& factors) {
    double sum = 0;
    for (std::size_t row = 0; row < reader.weights.size(); row += reader.per_row) {
      float most = 0;
      for (std::size_t at = 0; at < reader.per_row; at += factors.size())
        for (std::size_t c = 0; c < factors.size(); ++c) most = std::max(most, std::abs(reader.weights[row + at + c]) * factors[c]);
      sum += std::pow(static_cast<double>(most) / 127, 2) / 12;
    }
    return reconstructed * sum * static_cast<double>(reader.per_row) / static_cast<double>(factors.size());
  }

  static constexpr double reconstructed = 0.5;  // what is left of it behind GPTQ (docs/benchmarks.md, rounding)
  std::vector<Reach> reaches_;
  std::vector<Reader> readers_;
};

}  // namespace

std::vector<std::vector<int>> scalable_sets(const TflGraph& graph) {
  Sets sets(graph.tensors.size());
  std::vector<bool> stopped(graph.tensors.size(), false), seen(graph.tensors.size(), false);
  const auto real_operands = [&](const TflNode& node, bool parameters) {
    std::vector<int> out;
    for (const int id : node.inputs)
      if (is_real_tensor(graph, id) && (parameters || !tensor_at(graph, id)->constant)) out.push_back(id);
    for (const int id : node.outputs)
      if (is_real_tensor(graph, id)) out.push_back(id);
    return out;
  };
  for (const TflNode& node : graph.nodes) {
    const Through how = through(graph, node);
    const std::vector<int> operands = real_operands(node, false);
    for (const int id : operands) {
      seen[static_cast<std::size_t>(id)] = true;
      if (how == Through::stops) stopped[static_cast<std::size_t>(id)] = true;
      if (how == Through::ties) sets.tie(operands[0], id);
    }
    if (!homogeneous_activation(node))
      for (const int id : node.outputs) stopped[static_cast<std::size_t>(id)] = true;
  }
  for (const auto* ports : {&graph.inputs, &graph.outputs})
    for (const Port& port : *ports) stopped[static_cast<std::size_t>(port.value)] = true;

  std::map<int, std::vector<int>> members;
  std::set<int> dead;
  for (std::size_t t = 0; t < graph.tensors.size(); ++t) {
    if (!seen[t]) continue;
    const int root = sets.root(static_cast<int>(t));
    members[root].push_back(static_cast<int>(t));
    if (stopped[t]) dead.insert(root);
  }
  std::vector<std::vector<int>> out;
  for (auto& [root, tensors] : members)
    if (!dead.contains(root)) out.push_back(std::move(tensors));
  return out;
}

Factors equalizing_factors(const TflGraph& graph, const std::map<int, ChannelRanges>& ranges, const Offsets& offsets, int threads) {
  const std::vector<std::vector<int>> sets = scalable_sets(graph);
  std::vector<std::vector<float>> chosen(sets.size());
  parallel_for(sets.size(), threads, [&](std::size_t set, int) {
    const NoiseOfSet noise(graph, sets[set], ranges, offsets);
    const std::vector<float> shares = noise.shares();
    double least = worth_it * noise.of(std::vector<float>(shares.size(), 1.0F));
    for (const float strength : {0.3F, 0.5F, 0.7F}) {
      std::vector<float> tried(shares.size());
      for (std::size_t c = 0; c < tried.size(); ++c) tried[c] = std::max(std::pow(shares[c], strength), least_factor);
      if (const double expected = noise.of(tried); expected < least) chosen[set] = std::move(tried), least = expected;
    }
  });
  Factors factors;
  for (std::size_t set = 0; set < sets.size(); ++set)
    if (!chosen[set].empty())
      for (const int id : sets[set]) factors[id] = chosen[set];
  return factors;
}

TflGraph equalized(const TflGraph& graph, const Factors& factors) {
  TflGraph out = graph;
  const auto factor = [&](int id, std::size_t c) {
    const auto found = factors.find(id);
    return found == factors.end() ? 1.0F : found->second[c];
  };
  for (TflNode& node : out.nodes) {
    const BuiltinRule* rule = weighted_rule(graph, node);
    if (!rule || (!factors.contains(node.inputs[0]) && !factors.contains(node.outputs[0]))) continue;
    TflTensor weight = *tensor_at(graph, node.inputs[1]);
    const Tensor from = weight.constant->contiguous();
    Tensor to = Tensor::allocate(DType::float32, from.sizes());
    const auto values = from.as<float>();
    const auto scaled = to.mutable_as<float>();
    const bool depthwise = node.builtin == "DEPTHWISE_CONV_2D";
    const auto depth = static_cast<std::size_t>(from.sizes().back());
    const std::size_t per_row = values.size() / static_cast<std::size_t>(from.sizes()[0]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t in = i % depth, row = depthwise ? in : i / per_row;
      scaled[i] = values[i] * factor(node.inputs[0], in) / factor(node.outputs[0], row);
    }
    weight.constant = std::move(to);
    out.tensors.push_back(std::move(weight));
    node.inputs[1] = static_cast<int>(out.tensors.size()) - 1;
    if (node.inputs.size() > 2 && node.inputs[2] >= 0) {
      TflTensor bias = *tensor_at(graph, node.inputs[2]);
      std::vector<float> shifted = bias.constant->to_floats();
      for (std::size_t c = 0; c < shifted.size(); ++c) shifted[c] /= factor(node.outputs[0], c);
      bias.constant = Tensor::from(shifted, bias.sizes);
      out.tensors.push_back(std::move(bias));
      node.inputs[2] = static_cast<int>(out.tensors.size()) - 1;
    }
  }
  return out;
}

}  // namespace wherry
