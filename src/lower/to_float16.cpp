#include "lower/lower_tfl.h"

#include <cmath>

namespace wherry {

namespace {

struct Halved {
  Tensor tensor;
  std::int64_t overflows = 0;  // finite before, infinite after
  std::int64_t lost = 0;       // not zero before, zero after
};

Halved halved(const Tensor& weights) {
  const Tensor dense = weights.contiguous();
  Halved result{Tensor::allocate(DType::float16, weights.sizes())};
  const auto from = dense.as<float>();
  const auto to = result.tensor.mutable_as<std::uint16_t>();
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i] = float_to_half(from[i]);
    result.overflows += (to[i] & 0x7fffU) == 0x7c00U && std::isfinite(from[i]);
    result.lost += (to[i] & 0x7fffU) == 0 && from[i] != 0;
  }
  return result;
}

void warn(Diagnostics& diagnostics, const std::string& weight, const Halved& result) {
  const bool all_lost = result.lost > 0 && result.lost == result.tensor.count();
  if (result.overflows == 0 && !all_lost) return;
  const std::string what = result.overflows > 0 ? fmt::format("{} numbers beyond 65504, float16's largest", result.overflows)
                                                : std::string("only numbers too small for float16: all become zero");
  diagnostics.add({.code = "E404",
                   .message = fmt::format("weight '{}' has {}", weight, what),
                   .next = "convert with --precision float32, or rescale the layer",
                   .severity = Severity::warning});
}

}  // namespace

void to_float16(TflGraph& graph, Diagnostics& diagnostics) {
  std::vector<TflNode> nodes;
  std::vector<int> behind(graph.tensors.size(), -1);  // by constant: the output of its DEQUANTIZE
  for (TflNode& node : graph.nodes) {
    for (int& input : node.inputs) {
      if (input < 0) continue;
      const auto t = static_cast<std::size_t>(input);
      if (behind[t] < 0) {
        TflTensor& weight = graph.tensors[t];
        if (!weight.constant || weight.dtype != DType::float32 || weight.constant->count() < 2) continue;
        Halved result = halved(*weight.constant);
        warn(diagnostics, weight.name, result);
        weight.constant = std::move(result.tensor);
        weight.dtype = DType::float16;
        behind[t] = static_cast<int>(graph.tensors.size());
        nodes.push_back(
            {.builtin = "DEQUANTIZE", .inputs = {input}, .outputs = {behind[t]}, .options = {}, .path = node.path, .source = node.source});
        graph.tensors.push_back({.name = weight.name + "/float32", .dtype = DType::float32, .sizes = Sizes(weight.sizes), .constant = {}});
      }
      input = behind[t];
    }
  }
  nodes.insert(nodes.end(), std::make_move_iterator(graph.nodes.begin()), std::make_move_iterator(graph.nodes.end()));
  graph.nodes = std::move(nodes);
}

}  // namespace wherry
