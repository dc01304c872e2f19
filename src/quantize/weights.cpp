#include "quantize/weights.h"

#include "quantize/rules.h"

#include <cmath>
#include <limits>

namespace wherry {

namespace {

constexpr double int32_limit = 2147483647.0;

float largest(std::span<const float> weight, const Channels& channels, std::int64_t channel) {
  float out = 0;
  for (std::int64_t o = 0; o < channels.outer; ++o)
    for (std::int64_t i = 0; i < channels.inner; ++i)
      out = std::max(out, std::abs(weight[static_cast<std::size_t>(channels.at(o, channel, i))]));
  return out;
}

QuantizedWeight quantize_weight(const Tensor& weight, int axis, const Tensor* bias, const Grid& input) {
  const Channels channels = channels_of(weight.sizes(), axis);
  const Tensor dense = weight.contiguous();
  const auto from = dense.as<float>();
  QuantizedWeight out{Tensor::allocate(DType::int8, weight.sizes()), {}, {}};
  if (bias)
    for (const float b : bias->to_floats()) out.bias.push_back(b);
  const auto to = out.codes.mutable_as<std::int8_t>();
  for (std::int64_t c = 0; c < channels.count; ++c) {
    float scale = largest(from, channels, c) / 127;
    if (bias && input.dtype == DType::int8) scale = std::max(scale, least_weight_scale(out.bias[static_cast<std::size_t>(c)], input.scale));
    scale = std::max(scale, 1e-12F);
    out.scales.push_back(scale);
    for (std::int64_t o = 0; o < channels.outer; ++o)
      for (std::int64_t i = 0; i < channels.inner; ++i) {
        const auto at = static_cast<std::size_t>(channels.at(o, c, i));
        to[at] = static_cast<std::int8_t>(std::clamp(std::nearbyint(from[at] / scale), -127.0F, 127.0F));
      }
  }
  return out;
}

}  // namespace

Channels channels_of(const Sizes& sizes, int axis) {
  Channels out;
  for (int i = 0; i < static_cast<int>(sizes.size()); ++i)
    (i < axis ? out.outer : i == axis ? out.count : out.inner) *= sizes[static_cast<std::size_t>(i)];
  return out;
}

float least_weight_scale(double bias, float input_scale) {
  return static_cast<float>(2 * std::abs(bias) / (int32_limit * static_cast<double>(input_scale)));
}

bool fit_bias(QuantizedWeight& weight, const Grid& input, int axis) {
  if (input.dtype != DType::int8) return false;
  const auto least = [&](std::size_t c) { return least_weight_scale(weight.bias[c], input.scale); };
  bool fits = true;
  for (std::size_t c = 0; c < weight.scales.size(); ++c) fits = fits && weight.scales[c] >= least(c);
  if (fits) return false;
  const Channels channels = channels_of(weight.codes.sizes(), axis);
  Tensor codes = Tensor::allocate(DType::int8, weight.codes.sizes());
  const auto from = weight.codes.as<std::int8_t>();
  const auto to = codes.mutable_as<std::int8_t>();
  for (std::int64_t o = 0; o < channels.outer; ++o)
    for (std::int64_t c = 0; c < channels.count; ++c)
      for (std::int64_t i = 0; i < channels.inner; ++i) {
        const auto at = static_cast<std::size_t>(channels.at(o, c, i)), channel = static_cast<std::size_t>(c);
        const float shrink = std::min(weight.scales[channel] / least(channel), 1.0F);
        to[at] = static_cast<std::int8_t>(std::nearbyint(static_cast<float>(from[at]) * shrink));
      }
  for (std::size_t c = 0; c < weight.scales.size(); ++c) weight.scales[c] = std::max(weight.scales[c], least(c));
  weight.codes = std::move(codes);
  return true;
}

void quantize_weights(const TflGraph& graph, Plan& plan) {
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const TflNode& node = graph.nodes[n];
    const BuiltinRule* rule = weighted_rule(graph, node);
    if (!rule || !plan.nodes[n] || *plan.nodes[n] == DType::float32) continue;
    const int input = node.inputs[static_cast<std::size_t>(rule->input)];
    const auto bias_at = static_cast<std::size_t>(rule->bias);
    const TflTensor* bias = bias_at < node.inputs.size() ? tensor_at(graph, node.inputs[bias_at]) : nullptr;
    plan.weights[static_cast<int>(n)] =
        quantize_weight(*tensor_at(graph, node.inputs[static_cast<std::size_t>(rule->weight)])->constant, rule->axis,
                        bias ? &*bias->constant : nullptr, plan.grids.at({input, *plan.nodes[n]}).grid);
  }
}

}  // namespace wherry
