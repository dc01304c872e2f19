#include "quantize/adjust/centre.h"

#include "quantize/adjust/patch_means.h"
#include "quantize/rules.h"

namespace wherry {

namespace {

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
  const auto same_channels = [&] { return channels_of(graph, node.inputs[0]) == channels_of(graph, node.outputs[0]); };
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

std::vector<int> movable_tensors(const TflGraph& graph) {
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
  for (const TflNode& node : graph.nodes)
    if (is_biased_layer(graph, node) && !has_activation(node) && movable[static_cast<std::size_t>(node.outputs[0])])
      out.push_back(node.outputs[0]);
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

Offsets centring_offsets(const TflGraph& graph, const std::map<int, ChannelRanges>& ranges) {
  Offsets out;
  for (const int id : movable_tensors(graph))
    if (const auto found = ranges.find(id); found != ranges.end()) out[id] = found->second.middle;
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
