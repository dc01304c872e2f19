#include "quantize/equalize.h"

#include "quantize/rules.h"

#include <cmath>
#include <numeric>
#include <set>

namespace wherry {

namespace {

constexpr float least_factor = 1.0F / 64;  // a channel that is nearly always zero would otherwise be scaled to noise

std::int64_t channels(const TflGraph& graph, int id) {
  return tensor_at(graph, id)->sizes.empty() ? 1 : tensor_at(graph, id)->sizes.back();
}

bool homogeneous_activation(const TflNode& node) {
  const TflOption* fused = node.find("fused_activation_function");
  return !fused || fused->value == Attr(std::string("NONE")) || fused->value == Attr(std::string("RELU"));
}

// What an operator does to a scaling of channels.
enum class Through { absorbs, ties, stops };

Through through(const TflGraph& graph, const TflNode& node) {
  const auto same_channels = [&] { return channels(graph, node.inputs[0]) == channels(graph, node.outputs[0]); };
  if (weighted_rule(graph, node)) {
    if (node.builtin == "TRANSPOSE_CONV") return Through::stops;
    if (node.builtin == "DEPTHWISE_CONV_2D") return same_channels() ? Through::absorbs : Through::stops;
    const std::int64_t depth = tensor_at(graph, node.inputs[1])->sizes.back();
    return depth == channels(graph, node.inputs[0]) ? Through::absorbs : Through::stops;  // no groups
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

// Largest magnitude by channel.
void add_magnitudes(const Tensor& values, std::vector<float>& largest) {
  const Tensor dense = values.contiguous();
  const auto x = dense.as<float>();
  for (std::size_t at = 0; at < x.size(); at += largest.size())
    for (std::size_t c = 0; c < largest.size(); ++c) largest[c] = std::max(largest[c], std::abs(x[at + c]));
}

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

Factors equalizing_factors(const TflGraph& graph, const Samples& samples, const Loader& load, int threads, float strength) {
  const auto sets = scalable_sets(graph);
  TflGraph tapped = graph;
  tapped.outputs.clear();
  for (const auto& set : sets)
    for (const int id : set) tapped.outputs.push_back({fmt::format("tap{}", tapped.outputs.size()), id});
  if (tapped.outputs.empty()) return {};

  const auto workers = static_cast<std::size_t>(threads);
  std::vector<std::unique_ptr<Program>> programs(workers);
  std::vector<std::vector<std::vector<float>>> largest(workers, std::vector<std::vector<float>>(tapped.outputs.size()));
  for (auto& part : largest)
    for (std::size_t t = 0; t < part.size(); ++t) part[t].assign(static_cast<std::size_t>(channels(graph, tapped.outputs[t].value)), 0);
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    const auto w = static_cast<std::size_t>(worker);
    if (!programs[w]) programs[w] = load(tapped, 1);
    programs[w]->run(samples.load(i), [&](std::size_t t, const Tensor& value) { add_magnitudes(value, largest[w][t]); });
  });

  Factors factors;
  std::size_t tap = 0;
  for (const auto& set : sets) {
    std::vector<float> relative(static_cast<std::size_t>(channels(graph, set[0])), 0);  // the most that any of them needs
    for (std::size_t member = 0; member < set.size(); ++member, ++tap) {
      std::vector<float> all = largest[0][tap];
      for (std::size_t w = 1; w < workers; ++w)
        for (std::size_t c = 0; c < all.size(); ++c) all[c] = std::max(all[c], largest[w][tap][c]);
      const float top = std::max(*std::ranges::max_element(all), 1e-30F);
      for (std::size_t c = 0; c < all.size(); ++c) relative[c] = std::max(relative[c], all[c] / top);
    }
    for (float& r : relative) r = std::max(std::pow(r, strength), least_factor);
    for (const int id : set) factors[id] = relative;
  }
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
