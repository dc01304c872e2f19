// Ranges against the values that data gave.
#include "quantize/audit/audit_look.h"

namespace wherry {
namespace {

constexpr double many_elements = 0.01, many_samples = 0.05;

// An end at which values may pile up: the limit of the activation in front.
bool is_natural_end(const Audit& audit, const TflNode& node, bool upper) {
  const TflTensor& out = *audit.output(node);
  const BuiltinRule* rule = rule_of(node.builtin);
  if (rule && rule->kind == BuiltinRule::fixed) return true;
  const double scale = scale_of(out), zero = static_cast<double>(zero_point_of(out));
  const double least = out.dtype == DType::int16 ? -32768 : out.dtype == DType::uint8 ? 0 : -128;
  const double most = out.dtype == DType::int16 ? 32767 : out.dtype == DType::uint8 ? 255 : 127;
  if (!upper) return scale * (least - zero) > -1.5 * scale;
  return std::abs(scale * (most - zero) - 6) < 0.1;  // RELU6, whoever applied it
}

}  // namespace

std::vector<int> deciding_integers(const TflGraph& graph) {
  std::vector<int> out;
  for (const Port& port : graph.outputs) {
    int id = port.value;
    for (std::size_t i = graph.nodes.size(); i-- > 0;) {
      const TflNode& node = graph.nodes[i];
      constexpr std::string_view keeps[] = {"DEQUANTIZE", "QUANTIZE", "SOFTMAX", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE"};
      const bool made = std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end();
      if (made && !node.inputs.empty() && node.inputs[0] >= 0 &&
          std::find(std::begin(keeps), std::end(keeps), node.builtin) != std::end(keeps))
        id = node.inputs[0];
    }
    if (id >= 0 && is_quantized(&graph.tensors[static_cast<std::size_t>(id)])) out.push_back(id);
  }
  return out;
}

void look_at_observed(Audit& audit) {
  const std::vector<int> deciding = deciding_integers(audit.graph);
  for (const TflNode& node : audit.graph.nodes) {
    if (crosses_border(node) || node.outputs.size() != 1 || !is_quantized(audit.output(node)))
      continue;  // black and white are ends of an image
    const auto it = audit.options.observed.find(node.outputs[0]);
    if (it == audit.options.observed.end() || it->second.samples == 0 || it->second.elements == 0) continue;
    const AuditObserved& o = it->second;
    const auto share = [](std::size_t part, std::size_t all) { return static_cast<double>(part) / static_cast<double>(all); };
    if (std::find(deciding.begin(), deciding.end(), node.outputs[0]) != deciding.end()) {
      if (share(o.top_at_most, o.samples) > many_samples)
        audit.find("logits-clipped", &node, audit.output(node),
                   fmt::format("the greatest stands at the limit in {} of {} samples, two or more in {}", o.top_at_most, o.samples,
                               o.two_at_most));
      continue;
    }
    const std::size_t low = is_natural_end(audit, node, false) ? 0 : o.at_least, high = is_natural_end(audit, node, true) ? 0 : o.at_most;
    if (share(low + high, o.elements) > many_elements)
      audit.find("range-clipped", &node, audit.output(node),
                 fmt::format("{:.1f} % of the values stand at the lower limit, {:.1f} % at the upper", 100 * share(low, o.elements),
                             100 * share(high, o.elements)));
  }
}

}  // namespace wherry
