// Which operators run in float, what stands at the borders, and the versions that the file asks for.
#include "quantize/audit/audit_look.h"

namespace wherry {
namespace {

// Tensors from which an integer node is reached, against or along the arrows.
std::vector<bool> reaches_integers(const Audit& audit, bool forward) {
  std::vector<bool> mark(audit.graph.tensors.size());
  const auto any = [&](const std::vector<int>& ids) {
    return std::any_of(ids.begin(), ids.end(), [&](int id) { return id >= 0 && mark[static_cast<std::size_t>(id)]; });
  };
  const auto set = [&](const std::vector<int>& ids) {
    for (const int id : ids)
      if (id >= 0 && !audit.graph.tensors[static_cast<std::size_t>(id)].constant) mark[static_cast<std::size_t>(id)] = true;
  };
  const std::vector<TflNode>& nodes = audit.graph.nodes;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const TflNode& node = nodes[forward ? i : nodes.size() - 1 - i];
    const std::vector<int>&from = forward ? node.inputs : node.outputs, &to = forward ? node.outputs : node.inputs;
    if (is_integer_node(audit, node) || any(from)) set(to);
  }
  return mark;
}

void look_at_islands(Audit& audit) {
  const std::vector<bool> behind = reaches_integers(audit, true), ahead = reaches_integers(audit, false);
  for (const TflNode& node : audit.graph.nodes) {
    const TflTensor* out = audit.output(node);
    const bool takes_reals = std::any_of(node.inputs.begin(), node.inputs.end(), [&](int id) {
      const TflTensor* t = audit.tensor(id);
      return t && t->dtype == DType::float32 && !t->constant;
    });
    if (crosses_border(node) || !out || out->dtype != DType::float32 || !takes_reals) continue;
    const auto marked = [](const std::vector<bool>& marks, const std::vector<int>& ids) {
      return std::any_of(ids.begin(), ids.end(), [&](int id) { return id >= 0 && marks[static_cast<std::size_t>(id)]; });
    };
    const bool after = marked(behind, node.inputs), before = marked(ahead, node.outputs);
    if (after && before) audit.find("float-island", &node, nullptr, "between integer operators");
    if (after != before)
      audit.find("float-edge", &node, nullptr, after ? "behind the integer operators" : "in front of the integer operators");
  }
}

void look_at_borders(Audit& audit) {
  std::map<int, const TflNode*> producer;
  for (const TflNode& node : audit.graph.nodes)
    for (const int id : node.outputs) producer[id] = &node;
  for (const TflNode& node : audit.graph.nodes) {
    if (node.builtin != "QUANTIZE" || node.inputs.empty()) continue;
    const auto it = producer.find(node.inputs[0]);
    if (it != producer.end() && it->second->builtin == "DEQUANTIZE")
      audit.find("border-round-trip", &node, nullptr, "behind " + it->second->path);
  }
  bool integers = false, reals = false;
  for (const auto* ports : {&audit.graph.inputs, &audit.graph.outputs})
    for (const Port& port : *ports) {
      const TflTensor* t = audit.tensor(port.value);
      integers = integers || is_quantized(t), reals = reals || (t && t->dtype == DType::float32);
    }
  if (integers && reals) audit.find("border-mixed", nullptr, nullptr, "both kinds are among the inputs and outputs");
}

void look_at_versions(Audit& audit) {
  const AuditOptions& o = audit.options;
  if (!o.least_version || o.versions.size() != audit.graph.nodes.size()) return;
  std::map<std::string, int> seen;  // one place for each operator and version
  for (std::size_t i = 0; i < o.versions.size(); ++i) {
    const TflNode& node = audit.graph.nodes[i];
    const std::optional<int> least = o.least_version(audit.graph, node);
    if (!least || *least == o.versions[i]) continue;
    if (seen[fmt::format("{} {} {}", node.builtin, o.versions[i], *least)]++ > 0) continue;
    audit.find(o.versions[i] > *least ? "version-high" : "version-low", &node, nullptr,
               fmt::format("version {}, needs {}", o.versions[i], *least));
  }
}

}  // namespace

void look_at_structure(Audit& audit) {
  const bool integer =
      std::any_of(audit.graph.nodes.begin(), audit.graph.nodes.end(), [&](const TflNode& n) { return is_integer_node(audit, n); });
  if (integer) look_at_islands(audit);
  look_at_borders(audit);
  look_at_versions(audit);
}

}  // namespace wherry
