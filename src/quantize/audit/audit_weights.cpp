// Weights and biases of integer convolutions and matrix products.
#include "quantize/audit/audit_look.h"

#include <limits>

namespace wherry {
namespace {

constexpr std::int64_t int32_least = std::numeric_limits<std::int32_t>::min(), int32_most = std::numeric_limits<std::int32_t>::max();

// What a channel's weights add up to: the most and the least that they can make of inputs between low and high (zero point removed).
struct Channel {
  std::int64_t most = 0, least = 0;
  int largest = 0;  // max |w|
};

class WeightedNode {
 public:
  WeightedNode(Audit& audit, const TflNode& node, const BuiltinRule& rule)
      : audit_(audit),
        node_(node),
        rule_(rule),
        input_(*audit.input(node, rule.input)),
        weight_(*audit.input(node, rule.weight)),
        bias_(audit.input(node, rule.bias)),
        elements_(weight_.constant->contiguous()) {}

  void look() {
    if (!look_at_axis()) return;
    look_at_weight();
    if (bias_ && bias_->constant) look_at_bias();
    if (input_.dtype != DType::int16 || (bias_ && bias_->dtype == DType::int32)) look_at_sums();
  }

 private:
  std::int64_t channels() const { return weight_.sizes[static_cast<std::size_t>(rule_.axis)]; }
  float weight_scale(std::size_t channel) const {
    const std::vector<float>& scales = weight_.quantization->scales;
    return scales[scales.size() == 1 ? 0 : channel];
  }

  bool look_at_axis() {
    const TflQuantization& q = *weight_.quantization;
    const auto axis = static_cast<std::size_t>(rule_.axis);
    if (axis >= weight_.sizes.size()) return false;
    const bool many = q.scales.size() > 1;
    if (many && (q.axis != rule_.axis || static_cast<std::int64_t>(q.scales.size()) != channels())) {
      audit_.find("weight-axis", &node_, &weight_,
                  fmt::format("{} scales on axis {}; the kernel reads {} on axis {}", q.scales.size(), q.axis, channels(), rule_.axis));
      return false;
    }
    return true;
  }

  void look_at_weight() {
    const TflQuantization& q = *weight_.quantization;
    const auto shifted = std::count_if(q.zero_points.begin(), q.zero_points.end(), [](std::int64_t z) { return z != 0; });
    if (shifted > 0) audit_.find("weight-zero-point", &node_, &weight_, fmt::format("{} of {}", shifted, q.zero_points.size()));
    sum_channels();
    const auto lowest = std::count(values().begin(), values().end(), std::int8_t{-128});
    if (lowest > 0) audit_.find("weight-minus-128", &node_, &weight_, fmt::format("{} of {} weights", lowest, values().size()));
    const auto dead = std::count_if(sums_.begin(), sums_.end(), [](const Channel& c) { return c.largest == 0; });
    const auto coarse = std::count_if(sums_.begin(), sums_.end(), [](const Channel& c) { return c.largest > 0 && c.largest < 16; });
    if (dead > 0) audit_.find("dead-channel", &node_, &weight_, fmt::format("{} of {} channels", dead, sums_.size()));
    if (coarse > 0 && q.scales.size() > 1)
      audit_.find("coarse-weights", &node_, &weight_, fmt::format("{} of {} channels", coarse, sums_.size()));
  }

  std::span<const std::int8_t> values() const { return elements_.as<std::int8_t>(); }

  void sum_channels() {
    std::int64_t inner = 1;
    for (std::size_t i = static_cast<std::size_t>(rule_.axis) + 1; i < weight_.sizes.size(); ++i) inner *= weight_.sizes[i];
    const std::int64_t zero = zero_point_of(input_);
    const bool wide = input_.dtype == DType::int16, plain = input_.dtype == DType::uint8;
    const std::int64_t low = (wide ? -32768 : plain ? 0 : -128) - zero, high = (wide ? 32767 : plain ? 255 : 127) - zero;
    sums_.assign(static_cast<std::size_t>(channels()), {});
    const std::span<const std::int8_t> w = values();
    for (std::size_t i = 0; i < w.size(); ++i) {
      Channel& c = sums_[static_cast<std::size_t>(static_cast<std::int64_t>(i) / inner % channels())];
      c.most += w[i] * (w[i] > 0 ? high : low);
      c.least += w[i] * (w[i] > 0 ? low : high);
      c.largest = std::max(c.largest, std::abs(int{w[i]}));
    }
  }

  void look_at_bias() {
    const bool wide = input_.dtype == DType::int16;
    const TflOption* said = node_.find("quantized_bias_type");
    const bool int32_said = said && said->value == Attr(DType::int32);
    if (bias_->dtype != (wide && !int32_said ? DType::int64 : DType::int32) && !(wide && bias_->dtype == DType::int32 && int32_said))
      audit_.find("bias-type", &node_, bias_, std::string(name(bias_->dtype)));
    if (!is_integer(bias_->dtype)) return;
    if (bias_->quantization) look_at_bias_grid(*bias_->quantization);
    const std::vector<std::int64_t> values = bias_->constant->to_ints();
    const auto least = std::count(values.begin(), values.end(), int32_least);
    const auto most = std::count_if(values.begin(), values.end(), [](std::int64_t b) { return std::abs(b) == int32_most; });
    if (least + most > 0)
      audit_.find("bias-saturated", &node_, bias_,
                  fmt::format("{} of {} values stand at -2^31, {} at ±(2^31 - 1)", least, values.size(), most));
  }

  void look_at_bias_grid(const TflQuantization& q) {
    if (std::any_of(q.zero_points.begin(), q.zero_points.end(), [](std::int64_t z) { return z != 0; }))
      audit_.find("bias-zero-point", &node_, bias_, "");
    double worst = 0;
    std::size_t wrong = 0;
    if (q.scales.empty() || (q.scales.size() > 1 && static_cast<std::int64_t>(q.scales.size()) != channels()))
      return audit_.find("bias-scale", &node_, bias_, fmt::format("{} scales for {} channels", q.scales.size(), channels()));
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels()); ++c) {
      const double wanted = double{scale_of(input_)} * weight_scale(c);
      const double error = std::abs(q.scales[q.scales.size() == 1 ? 0 : c] / wanted - 1);
      if (!(error > 1e-4)) continue;
      ++wrong, worst = std::max(worst, error);
    }
    if (wrong > 0)
      audit_.find("bias-scale", &node_, bias_, fmt::format("{} of {} channels, {:.2g} of it apart at most", wrong, channels(), worst));
  }

  void look_at_sums() {
    std::vector<std::int64_t> bias(sums_.size(), 0);
    if (bias_ && bias_->constant && is_integer(bias_->dtype)) bias = bias_->constant->to_ints();
    if (bias.size() != sums_.size()) return;
    std::size_t over = 0;
    std::int64_t worst = 0;
    for (std::size_t c = 0; c < sums_.size(); ++c) {
      const std::int64_t most = sums_[c].most + bias[c], least = sums_[c].least + bias[c];
      if (most <= int32_most && least >= int32_least) continue;
      ++over;
      worst = std::max({worst, most, -least});
    }
    if (over > 0)
      audit_.find("accumulator-overflow", &node_, &weight_,
                  fmt::format("{} of {} channels; |sum| up to {:.4g} x 2^31", over, sums_.size(), static_cast<double>(worst) / 0x1p31));
  }

  Audit& audit_;
  const TflNode& node_;
  const BuiltinRule& rule_;
  const TflTensor &input_, &weight_;
  const TflTensor* bias_;
  const Tensor elements_;  // of the weight
  std::vector<Channel> sums_;
};

// One constant read by several nodes in different steps.
void look_at_sharing(Audit& audit) {
  struct Use {
    const TflNode* node;
    double step;
  };
  std::map<int, std::vector<Use>> uses;
  for (const TflNode& node : audit.graph.nodes) {
    const BuiltinRule* rule = integer_weights(audit, node);
    if (!rule || !audit.input(node, rule->bias)) continue;
    const double step = double{scale_of(*audit.input(node, rule->input))} * audit.input(node, rule->weight)->quantization->scales[0];
    uses[node.inputs[static_cast<std::size_t>(rule->bias)]].push_back({&node, step});
  }
  for (const auto& [bias, list] : uses)
    for (const Use& use : list)
      if (std::abs(use.step / list[0].step - 1) > 1e-4)
        audit.find("bias-shared", use.node, audit.tensor(bias),
                   fmt::format("its step is {:.4g}, that of {} {:.4g}", use.step, list[0].node->path, list[0].step));
}

}  // namespace

void look_at_weights(Audit& audit) {
  for (const TflNode& node : audit.graph.nodes)
    if (const BuiltinRule* rule = integer_weights(audit, node)) WeightedNode(audit, node, *rule).look();
  look_at_sharing(audit);
}

}  // namespace wherry
