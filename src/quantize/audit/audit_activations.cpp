// Grids of activations: their scales, the ties between them, those that kernels fix, and how far apart XNNPACK lets them be.
#include "quantize/audit/audit_look.h"

#include <cmath>

namespace wherry {
namespace {

std::string grid_text(const TflTensor& t) { return fmt::format("scale {:.9g}, zero point {}", scale_of(t), zero_point_of(t)); }

bool same_grid(const TflTensor& a, const TflTensor& b) {
  const double x = scale_of(a), y = scale_of(b);
  return std::abs(x - y) <= 1e-6 * std::abs(x) && zero_point_of(a) == zero_point_of(b);
}

// Blocks' scales are a float16 tensor of their own.
void look_at_block_scales(Audit& audit, const TflTensor& tensor) {
  const TflQuantization& q = *tensor.quantization;
  const TflTensor* scales = audit.tensor(q.block_scales);
  if (!scales || !scales->constant) return;
  constexpr double least_normal = 6.103515625e-05;
  const std::vector<float> values = scales->constant->to_floats();
  const auto bad = std::count_if(values.begin(), values.end(), [](float s) { return !std::isfinite(s) || std::abs(s) < least_normal; });
  if (bad > 0)
    audit.find("block-scale", nullptr, &tensor,
               fmt::format("{} of {} scales are zero or subnormal; the least is {:.3g}", bad, values.size(),
                           *std::min_element(values.begin(), values.end())));
  const auto blocks = static_cast<std::int64_t>(values.size()) * std::max(q.block_size, 1);
  if (tensor.dtype != DType::int4 || q.block_size % 32 != 0 || blocks != element_count(tensor.sizes))
    audit.find("xnnpack-block", nullptr, &tensor,
               fmt::format("{} in blocks of {}, {} scales for {} elements", name(tensor.dtype), q.block_size, values.size(),
                           element_count(tensor.sizes)));
}

void look_at_zero_point(Audit& audit, const TflTensor& t) {
  const std::int64_t zero = zero_point_of(t);
  const std::int64_t least = t.dtype == DType::uint8 ? 0 : t.dtype == DType::int16 ? 0 : -128;
  const std::int64_t most = t.dtype == DType::uint8 ? 255 : t.dtype == DType::int16 ? 0 : 127;
  if (zero < least || zero > most) audit.find("zero-point", nullptr, &t, fmt::format("{} with zero point {}", name(t.dtype), zero));
}

void look_at_tie(Audit& audit, const TflNode& node) {
  const TflTensor* first = nullptr;
  for (const auto* ids : {&node.inputs, &node.outputs})
    for (const int id : *ids) {
      const TflTensor* t = audit.tensor(id);
      if (!is_quantized(t)) continue;
      if (first && !same_grid(*first, *t))
        audit.find("tie-broken", &node, t, fmt::format("{}, but '{}' has {}", grid_text(*t), first->name, grid_text(*first)));
      if (!first) first = t;
    }
}

void look_at_fixed(Audit& audit, const TflNode& node, const BuiltinRule& rule) {
  const TflTensor& out = *audit.output(node);
  const Grid& wanted = out.dtype == DType::int16 ? rule.output16 : rule.output8;
  if (out.dtype == DType::uint8 || (out.dtype == DType::int16 && !rule.int16)) return;
  const bool alike = std::abs(scale_of(out) - wanted.scale) <= 1e-3F * wanted.scale && zero_point_of(out) == wanted.zero_point;
  if (!alike)
    audit.find("fixed-grid", &node, &out,
               fmt::format("{}; the kernel gives scale {:.9g}, zero point {}", grid_text(out), wanted.scale, wanted.zero_point));
}

// A fused or own activation gives nothing beyond its limits.
void look_at_waste(Audit& audit, const TflNode& node) {
  const TflTensor& out = *audit.output(node);
  const TflOption* fused = node.find("fused_activation_function");
  const std::string activation =
      fused && std::holds_alternative<std::string>(fused->value) ? std::get<std::string>(fused->value) : node.builtin;
  if (out.dtype != DType::int8 || (activation != "RELU" && activation != "RELU6")) return;
  const double scale = scale_of(out);
  const double low = scale * static_cast<double>(-128 - zero_point_of(out)), high = scale * static_cast<double>(127 - zero_point_of(out));
  if (low < -2 * scale || (activation == "RELU6" && high > 6 + 2 * scale))
    audit.find("range-wasted", &node, &out, fmt::format("[{:.4g}, {:.4g}] behind {}", low, high, activation));
}

struct Limit {
  std::string_view builtins;
  double least, most;  // of the ratio
  bool product;        // of both inputs, against the output; else each input against it
};
constexpr Limit limits[] = {
    {"ADD SUB", 0x1p-10, 0x1p8, false},
    {"MUL", 0x1p-16, 0x1p8, true},
    {"QUANTIZE", 0x1p-8, 0x1p7, false},
    {"LEAKY_RELU", 0x1p-8, 0x1p7, false},
};

void look_at_ratio(Audit& audit, const TflNode& node) {
  const auto* limit = std::find_if(std::begin(limits), std::end(limits), [&](const Limit& l) {
    const std::size_t at = l.builtins.find(node.builtin);
    return at != std::string_view::npos && (at + node.builtin.size() == l.builtins.size() || l.builtins[at + node.builtin.size()] == ' ');
  });
  const TflTensor* out = audit.output(node);
  if (limit == std::end(limits) || !is_quantized(out) || out->dtype == DType::int16) return;
  const auto judge = [&](double ratio, const TflTensor& at) {
    if (!(ratio >= limit->least && ratio < limit->most))
      audit.find("xnnpack-ratio", &node, &at,
                 fmt::format("ratio {:.3g}; from {:.3g} to {:.3g} is taken", ratio, limit->least, limit->most));
  };
  if (limit->product) {
    const TflTensor *a = audit.input(node, 0), *b = audit.input(node, 1);
    if (is_quantized(a) && is_quantized(b)) judge(double{scale_of(*a)} * scale_of(*b) / scale_of(*out), *out);
    return;
  }
  for (const int id : node.inputs)
    if (const TflTensor* t = audit.tensor(id); is_quantized(t)) judge(double{scale_of(*t)} / scale_of(*out), *t);
}

void look_at_pot(Audit& audit, const TflNode& node) {
  if (node.builtin != "ADD" && node.builtin != "SUB") return;
  const TflTensor* out = audit.output(node);
  const TflOption* pot = node.find("pot_scale_int16");
  if (!is_quantized(out) || out->dtype != DType::int16 || (pot && pot->value == Attr(false))) return;
  int exponent = 0;
  if (std::frexp(scale_of(*out), &exponent) != 0.5F) audit.find("pot-scale", &node, out, grid_text(*out));
}

}  // namespace

void look_at_scales(Audit& audit) {
  bool any16 = false;
  for (const TflTensor& t : audit.graph.tensors) {
    if (!t.quantization || (t.dtype == DType::float32 && !t.constant)) continue;
    const TflQuantization& q = *t.quantization;
    if (q.block_size > 0) look_at_block_scales(audit, t);
    const auto bad = std::count_if(q.scales.begin(), q.scales.end(), [](float s) { return !std::isnormal(s) || s < 0; });
    if (bad > 0 && is_integer(t.dtype))
      audit.find(
          "scale-invalid", nullptr, &t,
          fmt::format("{} of {} scales; the least is {:.3g}", bad, q.scales.size(), *std::min_element(q.scales.begin(), q.scales.end())));
    if (t.constant || !is_quantized(&t)) continue;
    any16 = any16 || t.dtype == DType::int16;
    if (q.scales.size() > 1) audit.find("activation-axis", nullptr, &t, fmt::format("{} scales", q.scales.size()));
    look_at_zero_point(audit, t);
    if (double{q.scales[0]} * 255 > 1e9) audit.find("range-huge", nullptr, &t, fmt::format("scale {:.3g}", q.scales[0]));
  }
  if (any16) audit.find("int16-slow", nullptr, nullptr, "the built-in kernels run these operators");
}

void look_at_grids(Audit& audit) {
  for (const TflNode& node : audit.graph.nodes) {
    const TflTensor* out = audit.output(node);
    if (!is_quantized(out)) {
      const bool integer_in = !node.inputs.empty() && is_quantized(audit.tensor(node.inputs[0])) && !audit.tensor(node.inputs[0])->constant;
      const BuiltinRule* rule = rule_of(node.builtin);
      if (integer_in && rule && out && (out->dtype == DType::int8 || out->dtype == DType::int16))
        audit.find("no-scale", &node, out, std::string(name(out->dtype)));
      continue;
    }
    look_at_ratio(audit, node);
    look_at_waste(audit, node);
    look_at_pot(audit, node);
    const BuiltinRule* rule = rule_of(node.builtin);
    if (rule && rule->kind == BuiltinRule::same_scale) look_at_tie(audit, node);
    if (rule && rule->kind == BuiltinRule::fixed) look_at_fixed(audit, node, *rule);
  }
}

}  // namespace wherry
