// Faults of an integer .tflite file that runtimes do not report: they run it, and give wrong or needlessly bad numbers. The rules are
// those of the TensorFlow Lite quantization specification, of the kernels, and of XNNPACK.
#pragma once

#include "ops/tfl.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

enum class AuditSeverity {
  error,    // the numbers are wrong, or a runtime refuses the file
  warning,  // slower, less exact, or refused by some runtimes
  note,     // worth a look
};

// What is looked for: docs/quantization.md lists them.
struct AuditRule {
  std::string_view name;  // "bias-saturated"
  AuditSeverity severity;
  std::string_view what, why, next;
};
const std::vector<AuditRule>& audit_rules();

struct AuditFinding {
  const AuditRule* rule = nullptr;
  std::string tensor;  // "" where an operator is at fault
  std::string node;    // "CONV_2D backbone.stem.conv"
  std::string found;   // "3 of 64 values are 2147483647"
};

struct AuditReport {
  // Tensors by what they are for ("activation", "weight", "bias", "other") and by data type; operators by what they compute in.
  std::map<std::string, std::map<std::string, int>> census;
  std::vector<AuditFinding> findings;  // errors first, then in the order of the rules and of the file
  int count(AuditSeverity severity) const;
};

// What an activation's integers were over some data.
struct AuditObserved {
  std::size_t samples = 0, elements = 0;
  std::size_t at_least = 0, at_most = 0;         // elements at the type's ends
  std::size_t top_at_most = 0, two_at_most = 0;  // samples in which the greatest element stands at the upper end; in which two or more do
};

struct AuditOptions {
  std::vector<int> versions = {};  // by node: the operator versions that the file asks for; empty: not looked at
  std::function<std::optional<int>(const TflGraph&, const TflNode&)> least_version = {};
  // The same network in float: tensors of the same names are compared. Biases whose sign was flipped, channels that died, weights
  // that do not look alike, rounding that is worse than to the nearest are found only with it.
  const TflGraph* reference = nullptr;
  std::map<int, AuditObserved> observed = {};  // by tensor; empty: no data
};

// The integers that decide the answer: those behind an output's DEQUANTIZE, softmax or change of shape.
std::vector<int> deciding_integers(const TflGraph& graph);

AuditReport audit(const TflGraph& graph, const AuditOptions& options = {});

std::string text(const AuditReport& report, std::size_t places_each = 5);  // at most so many places of one rule; ends without a newline
nlohmann::ordered_json to_json(const AuditReport& report);

}  // namespace wherry
