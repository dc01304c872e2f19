#include "quantize/centre.h"

#include "quantize/patch_means.h"
#include "quantize/rules.h"

namespace wherry {

namespace {

std::size_t channels(const TflGraph& graph, int id) {
  const Sizes& sizes = tensor_at(graph, id)->sizes;
  return sizes.empty() ? 1 : static_cast<std::size_t>(sizes.back());
}

bool has_activation(const TflNode& node) {
  const TflOption* fused = node.find("fused_activation_function");
  return fused && !(fused->value == Attr(std::string("NONE")));
}

bool is_biased_layer(const TflGraph& graph, const TflNode& node) {
  return weighted_rule(graph, node) && windows_of(graph, node) && node.inputs.size() > 2 && node.inputs[2] >= 0 &&
         tensor_at(graph, node.inputs[2])->constant;
}

// Every window lies inside, so that each output misses the same.
bool takes_no_padding(const TflGraph& graph, const TflNode& node) {
  const Windows w = *windows_of(graph, node);
  return w.pad_top == 0 && w.pad_left == 0 && (w.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h < w.height &&
         (w.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w < w.width;
}

// Offsets of inputs become the same (a mean, a reshape) or their sum (an addition) in the output.
bool passes_on(const TflGraph& graph, const TflNode& node) {
  if (has_activation(node)) return false;
  const auto same_channels = [&] { return channels(graph, node.inputs[0]) == channels(graph, node.outputs[0]); };
  if (node.builtin == "ADD") {
    const TflTensor &a = *tensor_at(graph, node.inputs[0]), &b = *tensor_at(graph, node.inputs[1]);
    return a.sizes == b.sizes && !a.constant && !b.constant;
  }
  if (node.builtin == "MEAN") {
    const TflTensor& axes = *tensor_at(graph, node.inputs[1]);
    const auto rank = static_cast<std::int64_t>(tensor_at(graph, node.inputs[0])->sizes.size());
    return axes.constant && same_channels() &&
           std::ranges::none_of(axes.constant->to_ints(), [&](std::int64_t axis) { return axis == rank - 1 || axis == -1; });
  }
  return node.builtin == "RESHAPE" && same_channels();
}

TflTensor with_bias(TflTensor tensor, const std::vector<float>& values) {
  tensor.constant = Tensor::from(values, tensor.sizes);
  return tensor;
}

}  // namespace

std::vector<int> movable_layers(const TflGraph& graph) {
  std::vector<bool> movable(graph.tensors.size(), true);
  for (const auto* ports : {&graph.inputs, &graph.outputs})
    for (const Port& port : *ports) movable[static_cast<std::size_t>(port.value)] = false;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const bool passes = passes_on(graph, *node) && movable[static_cast<std::size_t>(node->outputs[0])];
    const bool absorbs = is_biased_layer(graph, *node) && takes_no_padding(graph, *node);
    for (const int id : node->inputs)
      if (id >= 0 && !passes && !absorbs) movable[static_cast<std::size_t>(id)] = false;
  }
  std::vector<int> out;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const TflNode& node = graph.nodes[n];
    if (is_biased_layer(graph, node) && !has_activation(node) && movable[static_cast<std::size_t>(node.outputs[0])])
      out.push_back(static_cast<int>(n));
  }
  return out;
}

Offsets all_offsets(const TflGraph& graph, const Offsets& of_layers) {
  Offsets out = of_layers;
  for (const TflNode& node : graph.nodes) {
    if (!passes_on(graph, node)) continue;
    for (std::size_t i = 0; i < (node.builtin == "ADD" ? 2U : 1U); ++i) {
      const auto found = out.find(node.inputs[i]);
      if (found == out.end()) continue;
      const std::vector<float> taken = found->second;
      std::vector<float>& sum = out.try_emplace(node.outputs[0], taken.size(), 0.0F).first->second;
      for (std::size_t c = 0; c < taken.size(); ++c) sum[c] += taken[c];
    }
  }
  return out;
}

Offsets centring_offsets(const TflGraph& graph, const Samples& samples, const Loader& load, int threads) {
  const std::vector<int> layers = movable_layers(graph);
  if (layers.empty() || samples.count == 0) return {};
  TflGraph tapped = graph;
  tapped.outputs.clear();
  for (const int n : layers)
    tapped.outputs.push_back({fmt::format("tap{}", tapped.outputs.size()), graph.nodes[static_cast<std::size_t>(n)].outputs[0]});

  std::vector<std::unique_ptr<Program>> programs(static_cast<std::size_t>(threads));
  std::vector<std::vector<std::vector<float>>> middles(samples.count, std::vector<std::vector<float>>(layers.size()));
  parallel_for(samples.count, threads, [&](std::size_t i, int worker) {
    std::unique_ptr<Program>& program = programs[static_cast<std::size_t>(worker)];
    if (!program) program = load(tapped, 1);
    program->run(samples.load(i), [&](std::size_t tap, const Tensor& value) {
      const Tensor dense = value.contiguous();
      const auto x = dense.as<float>();
      const std::size_t wide = channels(graph, tapped.outputs[tap].value);
      std::vector<float> low(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(wide)), high = low;
      for (std::size_t at = wide; at < x.size(); at += wide)
        for (std::size_t c = 0; c < wide; ++c) low[c] = std::min(low[c], x[at + c]), high[c] = std::max(high[c], x[at + c]);
      for (std::size_t c = 0; c < wide; ++c) low[c] = (low[c] + high[c]) / 2;
      middles[i][tap] = std::move(low);
    });
  });
  Offsets out;
  for (std::size_t tap = 0; tap < layers.size(); ++tap) {
    std::vector<float>& mean = out[tapped.outputs[tap].value];
    mean.resize(middles[0][tap].size());
    for (const auto& sample : middles)
      for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += sample[tap][c] / static_cast<float>(samples.count);
  }
  return all_offsets(graph, out);
}

TflGraph centred(const TflGraph& graph, const Offsets& offsets) {
  TflGraph out = graph;
  for (TflNode& node : out.nodes) {
    const auto in = offsets.find(node.inputs.empty() ? -1 : node.inputs[0]), own = offsets.find(node.outputs[0]);
    if (!is_biased_layer(graph, node) || (in == offsets.end() && own == offsets.end())) continue;
    const TflTensor& bias = *tensor_at(graph, node.inputs[2]);
    std::vector<float> values = bias.constant->to_floats();
    if (in != offsets.end()) {
      const Windows windows = *windows_of(graph, node);
      std::vector<double> patch;  // what every window misses
      for (std::int64_t k = 0; k < windows.kernel_h * windows.kernel_w; ++k)
        patch.insert(patch.end(), in->second.begin(), in->second.end());
      const Tensor weight = tensor_at(graph, node.inputs[1])->constant->contiguous();
      const std::vector<double> missed = respond(node, weight.sizes(), weight.as<float>(), patch, windows);
      for (std::size_t c = 0; c < values.size(); ++c) values[c] = static_cast<float>(static_cast<double>(values[c]) + missed[c]);
    }
    if (own != offsets.end())
      for (std::size_t c = 0; c < values.size(); ++c) values[c] -= own->second[c];
    out.tensors.push_back(with_bias(bias, values));
    node.inputs[2] = static_cast<int>(out.tensors.size()) - 1;
  }
  return out;
}

}  // namespace wherry
