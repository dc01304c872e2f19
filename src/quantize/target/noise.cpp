#include "quantize/target/noise.h"

#include "quantize/apply.h"
#include "quantize/rules.h"

#include <cmath>

namespace wherry {

namespace {

// The float graph with a tensor rounded to the grid: for one reader, or for all and the outputs.
TflGraph rounded_at(const TflGraph& graph, int tensor, const Grid& grid, int producer, std::optional<int> reader) {
  TflGraph out = graph;
  const TflTensor& like = graph.tensors[static_cast<std::size_t>(tensor)];
  const auto add = [&](std::string_view suffix, DType dtype, std::optional<TflQuantization> quantization) {
    out.tensors.push_back({.name = like.name + std::string(suffix),
                           .dtype = dtype,
                           .sizes = like.sizes,
                           .constant = {},
                           .quantization = std::move(quantization)});
    return static_cast<int>(out.tensors.size()) - 1;
  };
  const int codes = add("/codes", grid.dtype, one_scale(grid));
  const int reals = add("/reals", DType::float32, {});
  for (std::size_t n = 0; n < out.nodes.size(); ++n)
    if (!reader || *reader == static_cast<int>(n)) std::ranges::replace(out.nodes[n].inputs, tensor, reals);
  if (!reader)
    for (Port& port : out.outputs)
      if (port.value == tensor) port.value = reals;
  const auto step = [&](std::string_view builtin, int from, int to) {
    return TflNode{.builtin = std::string(builtin), .inputs = {from}, .outputs = {to}, .options = {}, .path = like.name, .source = {}};
  };
  const TflNode both[] = {step("QUANTIZE", tensor, codes), step("DEQUANTIZE", codes, reals)};
  out.nodes.insert(out.nodes.begin() + producer + 1, std::begin(both), std::end(both));
  return out;
}

// Whether the integer kernel only moves what it reads, so that its output is rounded already.
bool only_moves(const TflNode& node) {
  const BuiltinRule* rule = rule_of(node.builtin);
  return rule && rule->kind == BuiltinRule::same_scale && node.builtin != "AVERAGE_POOL_2D" && node.builtin != "RESIZE_BILINEAR";
}

double mean_square(const Histogram& histogram) {
  double sum = 0;
  for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
    const double value = (static_cast<double>(histogram.first()) + static_cast<double>(i) + 0.5) * histogram.width();
    sum += value * value * static_cast<double>(histogram.counts()[i]);
  }
  return sum / static_cast<double>(std::max<std::int64_t>(histogram.total(), 1));
}

// E|W x - Wq x|² of weights to nearest: each is off by a twelfth of its scale squared, on average.
double nearest_error(const TflGraph& graph, const TflNode& node, const QuantizedWeight& weight, const std::vector<Histogram>& tensors) {
  const BuiltinRule& rule = *rule_of(node.builtin);
  const TflTensor& like = *tensor_at(graph, node.inputs[static_cast<std::size_t>(rule.weight)]);
  const double depth = static_cast<double>(element_count(like.sizes)) / static_cast<double>(weight.scales.size());
  double squares = 0;
  for (const float scale : weight.scales) squares += static_cast<double>(scale) * static_cast<double>(scale);
  return squares / 12 * depth * mean_square(tensors[static_cast<std::size_t>(node.inputs[static_cast<std::size_t>(rule.input)])]);
}

}  // namespace

NoiseModel::NoiseModel(const TflGraph& graph, const std::vector<Histogram>& tensors, const Plan& plan,
                       const std::vector<LayerRounding>& rounding, const Judge& judge, DType islands, const QuantizeProgress& progress)
    : weights_(graph.nodes.size()) {
  std::vector<int> producers(graph.tensors.size(), -1);
  std::vector<std::vector<int>> readers(graph.tensors.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const int id : graph.nodes[n].outputs) producers[static_cast<std::size_t>(id)] = static_cast<int>(n);
    for (const int id : graph.nodes[n].inputs)
      if (id >= 0 && (readers[static_cast<std::size_t>(id)].empty() || readers[static_cast<std::size_t>(id)].back() != static_cast<int>(n)))
        readers[static_cast<std::size_t>(id)].push_back(static_cast<int>(n));
  }
  for (const auto& [key, choice] : plan.grids) {
    const auto& [tensor, dtype] = key;
    const auto t = static_cast<std::size_t>(tensor);
    if (graph.tensors[t].constant) continue;
    const int producer = producers[t];
    Activation& a = activations_.emplace_back(Activation{.producer = producer, .readers = readers[t], .by_read = {}});
    const auto noise = [&](std::optional<int> reader) {
      return std::pow(10, -judge.score(rounded_at(graph, tensor, choice.grid, producer, reader)).sqnr_db / 10);
    };
    const double all = noise({});
    const bool integer = producer >= 0 && plan.nodes[static_cast<std::size_t>(producer)] == dtype;
    if (integer && !only_moves(graph.nodes[static_cast<std::size_t>(producer)])) a.rounded = all;
    for (const int reader : a.readers) a.by_read.push_back(a.readers.size() > 1 ? noise(reader) : all);
    const auto weight = plan.weights.find(producer);
    if (weight != plan.weights.end()) {
      // The layer's own error is as if the steps of its output were that much wider.
      const auto told = std::ranges::find(rounding, producer, &LayerRounding::node);
      const TflNode& node = graph.nodes[static_cast<std::size_t>(producer)];
      const double error = told != rounding.end() ? told->chosen : nearest_error(graph, node, weight->second, tensors);
      const double step = static_cast<double>(choice.grid.scale);
      if (islands == DType::float32)
        weights_[static_cast<std::size_t>(producer)] = all * error / static_cast<double>(weight->second.scales.size()) / (step * step / 12);
    }
    if (progress) progress("measure", static_cast<double>(activations_.size()), static_cast<double>(plan.grids.size()));
  }
}

double NoiseModel::left(const std::vector<bool>& island) const {
  const auto is_in = [&](int node) { return node < 0 || island[static_cast<std::size_t>(node)]; };
  double sum = 0;
  for (const Activation& a : activations_) {
    if (!is_in(a.producer)) {
      sum += a.rounded;
      continue;
    }
    for (std::size_t r = 0; r < a.readers.size(); ++r)
      if (!is_in(a.readers[r])) sum += a.by_read[r];
  }
  for (std::size_t n = 0; n < weights_.size(); ++n)
    if (!island[n]) sum += weights_[n];
  return sum;
}

}  // namespace wherry
