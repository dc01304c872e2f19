// The integers against the float network that they were made of.
#include "quantize/audit/audit_look.h"

#include <cmath>
#include <limits>

namespace wherry {
namespace {

struct Pair {
  const TflNode *node, *reference;
  const BuiltinRule* rule;
};

// Weighted nodes that make the tensor of the same name in both.
std::vector<Pair> pairs(const Audit& audit) {
  const TflGraph& reference = *audit.options.reference;
  std::map<std::string_view, const TflNode*> by_output;
  for (const TflNode& node : reference.nodes)
    if (!node.outputs.empty() && node.outputs[0] >= 0) by_output[reference.tensors[static_cast<std::size_t>(node.outputs[0])].name] = &node;
  std::vector<Pair> out;
  for (const TflNode& node : audit.graph.nodes) {
    const BuiltinRule* rule = integer_weights(audit, node);
    if (!rule) continue;
    const auto it = by_output.find(audit.output(node)->name);
    if (it != by_output.end() && it->second->builtin == node.builtin) out.push_back({&node, it->second, rule});
  }
  return out;
}

const TflTensor* reference_tensor(const Audit& audit, const TflNode& node, int place) {
  if (place < 0 || static_cast<std::size_t>(place) >= node.inputs.size()) return nullptr;
  const TflTensor* t = tensor_at(*audit.options.reference, node.inputs[static_cast<std::size_t>(place)]);
  return t && t->constant && t->dtype == DType::float32 ? t : nullptr;
}

// Where signs differ: saturated ones were flipped by a cast; others only when they are far apart, since corrections move biases.
struct SignFaults {
  std::size_t flipped = 0, unlike = 0, first = 0;
};

class Biases {
 public:
  Biases(const TflTensor& bias, const TflTensor& wanted, const std::vector<float>& weight_scales, float input_scale)
      : integers_(bias.constant->to_ints()), reals_(wanted.constant->to_floats()), scales_(weight_scales), input_scale_(input_scale) {}

  double step(std::size_t c) const { return double{input_scale_} * scales_[std::min(c, scales_.size() - 1)]; }
  double found(std::size_t c) const { return step(c) * static_cast<double>(integers_[c]); }
  double wanted(std::size_t c) const { return reals_[c]; }
  std::size_t size() const { return integers_.size(); }

  SignFaults look() const {
    SignFaults faults;
    double largest = 0;
    for (const float r : reals_) largest = std::max(largest, std::abs(double{r}));
    for (std::size_t c = 0; c < size(); ++c) {
      if (found(c) * wanted(c) >= 0) continue;
      const bool saturated = std::abs(integers_[c]) >= std::numeric_limits<std::int32_t>::max();
      const bool far = std::min(std::abs(found(c)), std::abs(wanted(c))) > 0.05 * largest + 2 * step(c);
      if (!saturated && !far) continue;
      if (faults.flipped + faults.unlike == 0) faults.first = c;
      ++(saturated ? faults.flipped : faults.unlike);
    }
    return faults;
  }

 private:
  std::vector<std::int64_t> integers_;
  std::vector<float> reals_;
  const std::vector<float>& scales_;
  float input_scale_;
};

void compare_biases(Audit& audit, const Pair& pair, float input_scale) {
  const TflTensor *bias = audit.input(*pair.node, pair.rule->bias), *wanted = reference_tensor(audit, *pair.reference, pair.rule->bias);
  const TflTensor& weight = *audit.input(*pair.node, pair.rule->weight);
  if (!bias || !wanted || !bias->constant || !is_integer(bias->dtype) || bias->sizes != wanted->sizes) return;
  const Biases biases(*bias, *wanted, weight.quantization->scales, input_scale);
  const SignFaults faults = biases.look();
  for (const auto& [rule, count] : {std::pair("bias-flipped", faults.flipped), std::pair("bias-unlike", faults.unlike)})
    if (count > 0)
      audit.find(rule, pair.node, bias,
                 fmt::format("{} of {}; channel {} is {:.4g}, the reference has {:.4g}", count, biases.size(), faults.first,
                             biases.found(faults.first), biases.wanted(faults.first)));
}

void compare_weights(Audit& audit, const Pair& pair) {
  const TflTensor& weight = *audit.input(*pair.node, pair.rule->weight);
  const TflTensor* wanted = reference_tensor(audit, *pair.reference, pair.rule->weight);
  if (!wanted || wanted->sizes != weight.sizes || static_cast<std::size_t>(pair.rule->axis) >= weight.sizes.size()) return;
  const std::vector<float> reals = wanted->constant->to_floats();
  const Tensor elements = weight.constant->contiguous();
  const std::span<const std::int8_t> q = elements.as<std::int8_t>();
  const std::vector<float>& scales = weight.quantization->scales;
  const std::int64_t channels = weight.sizes[static_cast<std::size_t>(pair.rule->axis)];
  std::int64_t inner = 1;
  for (std::size_t i = static_cast<std::size_t>(pair.rule->axis) + 1; i < weight.sizes.size(); ++i) inner *= weight.sizes[i];
  double signal = 0, noise = 0, nearest = 0;
  std::vector<std::pair<bool, bool>> alive(static_cast<std::size_t>(channels));  // in the reference, here
  for (std::size_t i = 0; i < q.size(); ++i) {
    const auto c = static_cast<std::size_t>(static_cast<std::int64_t>(i) / inner % channels);
    const double scale = scales[std::min(c, scales.size() - 1)], real = reals[i], error = real - scale * q[i];
    const double least = real - scale * std::clamp(std::nearbyint(real / scale), -127.0, 127.0);
    signal += real * real, noise += error * error, nearest += least * least;
    alive[c].first = alive[c].first || std::abs(real) > 1e-6, alive[c].second = alive[c].second || q[i] != 0;
  }
  const double sqnr = noise > 0 ? 10 * std::log10(signal / noise) : 999;
  if (signal > 0 && sqnr < 10) audit.find("weight-unlike", pair.node, &weight, fmt::format("SQNR {:.1f} dB", sqnr));
  if (noise > 1.02 * nearest + 1e-12 * signal && sqnr >= 10)
    audit.find("rounding", pair.node, &weight,
               fmt::format("mean squared error {:.2f} times that of the nearest", noise / std::max(nearest, 1e-30)));
  const auto died = std::count(alive.begin(), alive.end(), std::pair(true, false));
  if (died > 0) audit.find("channel-died", pair.node, &weight, fmt::format("{} of {} channels", died, channels));
}

}  // namespace

void look_at_reference(Audit& audit) {
  for (const Pair& pair : pairs(audit)) {
    compare_weights(audit, pair);
    compare_biases(audit, pair, scale_of(*audit.input(*pair.node, pair.rule->input)));
  }
}

}  // namespace wherry
