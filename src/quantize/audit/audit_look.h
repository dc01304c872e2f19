// What the parts of the audit share.
#pragma once

#include "quantize/audit/audit.h"
#include "quantize/rules.h"

namespace wherry {

class Audit {
 public:
  Audit(const TflGraph& g, const AuditOptions& o, AuditReport& r) : graph(g), options(o), report(r) {}

  void find(std::string_view rule, const TflNode* node, const TflTensor* tensor, std::string found);

  const TflTensor* tensor(int id) const { return tensor_at(graph, id); }
  const TflTensor* input(const TflNode& node, int place) const {
    return place < 0 || static_cast<std::size_t>(place) >= node.inputs.size() ? nullptr
                                                                              : tensor(node.inputs[static_cast<std::size_t>(place)]);
  }
  const TflTensor* output(const TflNode& node) const { return node.outputs.empty() ? nullptr : tensor(node.outputs[0]); }

  const TflGraph& graph;
  const AuditOptions& options;
  AuditReport& report;
};

// int8, uint8 or int16 that stand for reals: what integer kernels take and give.
inline bool is_quantized(const TflTensor* t) {
  return t && (t->dtype == DType::int8 || t->dtype == DType::uint8 || t->dtype == DType::int16) && t->quantization &&
         !t->quantization->scales.empty();
}
inline float scale_of(const TflTensor& t) { return t.quantization->scales[0]; }
inline std::int64_t zero_point_of(const TflTensor& t) { return t.quantization->zero_points.empty() ? 0 : t.quantization->zero_points[0]; }
inline bool crosses_border(const TflNode& node) { return node.builtin == "QUANTIZE" || node.builtin == "DEQUANTIZE"; }
// A node that integer kernels run.
bool is_integer_node(const Audit& audit, const TflNode& node);
// The rule of a convolution or matrix product with constant integer weights and integer activations, whose operands are all there.
const BuiltinRule* integer_weights(const Audit& audit, const TflNode& node);

void look_at_scales(Audit& audit);     // audit_activations.cpp
void look_at_grids(Audit& audit);      // audit_activations.cpp: ties, fixed grids, XNNPACK's limits
void look_at_weights(Audit& audit);    // audit_weights.cpp
void look_at_structure(Audit& audit);  // audit_structure.cpp: islands, borders, versions
void look_at_observed(Audit& audit);   // audit_observed.cpp: ranges that data leave
void look_at_reference(Audit& audit);  // audit_reference.cpp

}  // namespace wherry
