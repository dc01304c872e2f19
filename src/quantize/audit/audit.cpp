#include "quantize/audit/audit.h"

#include "base/check.h"
#include "base/text.h"
#include "quantize/audit/audit_look.h"

#include <nlohmann/json.hpp>

#include <set>

namespace wherry {

const std::vector<AuditRule>& audit_rules() {
  using enum AuditSeverity;
  static const std::vector<AuditRule> rules = {
      {"bias-saturated", error, "biases stand at the limit of their integer type",
       "the value that was wanted did not fit; at -2^31 it may even have had the other sign (--reference tells)",
       "raise the scale of those channels' weights until |bias| < 2^30 steps, and quantize them again"},
      {"bias-flipped", error, "saturated biases have the other sign than the reference's",
       "a cast of a number above 2^31 gives -2^31: a large positive bias became the most negative one",
       "clamp before the cast, and raise the scale of those channels' weights"},
      {"accumulator-overflow", error, "the sum of products and bias can leave int32",
       "kernels add in int32 without a check: the sum wraps around to the other sign", "raise the scale of those channels' weights"},
      {"bias-scale", error, "the bias's scale is not the input's times the weight's",
       "int8 kernels do not check it: they add the bias in steps of the product", "quantize the bias again with scale = input * weight"},
      {"bias-shared", error, "one bias constant serves operators of different scales", "its integers mean another number to each",
       "give each operator a bias of its own"},
      {"bias-type", error, "the bias is not of the type that the kernel takes",
       "int8 kernels take int32, 16-bit ones int64 (or int32 where the "
       "operator says so)",
       "store the bias in that type"},
      {"bias-zero-point", error, "the bias has a zero point", "kernels ignore it", "quantize biases symmetrically"},
      {"weight-zero-point", error, "weights have zero points other than 0",
       "integer kernels with a scale for each channel ignore or refuse them", "quantize weights symmetrically"},
      {"weight-axis", error, "weights have scales along another axis than the kernel reads, or of another number",
       "each channel is read with another channel's scale", "put one scale for each output channel on the kernel's axis"},
      {"scale-invalid", error, "scales are zero, subnormal, negative or not finite",
       "XNNPACK refuses the operator or the whole file; others give zeros or NaN", "keep every scale a normal float: 1e-9 or more is safe"},
      {"block-scale", error, "blocks have scales that float16 cannot hold as normal numbers", "the CPU runtime refuses the file",
       "raise each block's scale to 6.2e-5 at least, then round its weights again"},
      {"tie-broken", error, "tensors that must have one scale and zero point differ",
       "the kernel copies integers from one to the other as they are", "give them one grid, or put a QUANTIZE in front"},
      {"fixed-grid", error, "the output's grid is not the one that the kernel gives",
       "the kernel's grid is fixed; what follows reads its integers wrongly", "use the fixed grid"},
      {"zero-point", error, "zero points that the kernel does not take",
       "16-bit activations are symmetric, and a zero point must be one of the type's values", "quantize the tensor again"},
      {"activation-axis", error, "an activation has more than one scale", "kernels read the first alone",
       "quantize activations with one scale"},
      {"no-scale", error, "integers among integer operators have no scale", "kernels cannot know what they stand for",
       "write the quantization parameters"},
      {"pot-scale", error, "ADD or SUB on 16 bits asks for scales that are powers of two, and has others",
       "the kernel rounds with shifts alone", "write pot_scale_int16: false"},
      {"weight-unlike", error, "dequantized weights do not look like the reference's",
       "SQNR below 10 dB at 8 bits means wrong scales, a wrong axis or wrong data",
       "compare the layer: wherry verify REFERENCE FILE --layers"},
      {"bias-unlike", error, "dequantized biases have another sign than the reference's",
       "a correction moves a bias a little; this is a fault", "quantize the bias again"},
      {"logits-clipped", error, "the answer's range ends below the values that data reach",
       "where the top class is cut, others catch up with it: a moving average in calibration ends the range near the mean of maxima",
       "calibrate outputs with their least and greatest values"},
      {"range-clipped", warning, "ranges end where many values lie beyond", "what lies beyond is cut to the limit",
       "calibrate with data like these, "
       "or with a method that cuts less"},
      {"float-island", warning, "float operators stand among integer ones",
       "each costs a DEQUANTIZE and a QUANTIZE and runs in float: slower, and not at all on integer-only devices",
       "use an operator with an integer kernel, or accept it on purpose"},
      {"float-edge", note, "float operators stand at the file's inputs or outputs", "they run in float outside of the integer part",
       "quantize them too, unless it is meant"},
      {"border-round-trip", warning, "a DEQUANTIZE is followed by a QUANTIZE", "it costs time and rounds a second time",
       "join them into one QUANTIZE"},
      {"border-mixed", note, "some inputs or outputs are integers and some float", "callers must treat each in its own way",
       "make them alike, unless it is meant"},
      {"range-huge", warning, "an activation's range is so large that its values vanish",
       "a constant like -FLT_MAX was taken into the range", "leave such constants out of calibration"},
      {"weight-minus-128", warning, "int8 weights use -128", "kernels are free to assume [-127, 127]: their products can overflow 16 bits",
       "clamp to -127"},
      {"version-high", warning, "operators ask for a higher version than they need", "older runtimes refuse the file",
       "write the least version"},
      {"version-low", warning, "operators ask for a lower version than they need", "a runtime may take the old meaning",
       "write the version that the types need"},
      {"xnnpack-ratio", warning, "scales are too far apart for XNNPACK", "the operator falls back to a slow kernel",
       "widen the smaller range"},
      {"xnnpack-block", warning, "blocks that XNNPACK does not take",
       "it takes int4 in blocks of a multiple of 32 whose scales fill the row", "use blocks of 32"},
      {"int16-slow", note, "16-bit activations", "XNNPACK has no kernels for them: the built-in ones are slow",
       "keep 16 bits to where they are needed"},
      {"range-wasted", note, "an output's range goes beyond what its activation gives", "levels that no value takes",
       "end the range at the activation's limit"},
      {"dead-channel", note, "channels whose weights are all zero", "they cost time and give a constant", "prune them"},
      {"channel-died", warning, "channels that the reference has became zero", "their scale was raised too far, often by a large bias",
       "quantize the layer on 16 bits, or move the bias into the next layer"},
      {"coarse-weights", note, "channels use less than 32 of their 255 levels", "their scale is far above max|w|/127",
       "look whether a bias forced it"},
      {"rounding", note, "weights differ more from the reference than rounding to the nearest would",
       "GPTQ or AdaRound do that on purpose; when wrong, they are worse than plain rounding", "compare both in accuracy"},
  };
  return rules;
}

void Audit::find(std::string_view rule, const TflNode* node, const TflTensor* at, std::string found) {
  const std::vector<AuditRule>& rules = audit_rules();
  const auto it = std::find_if(rules.begin(), rules.end(), [&](const AuditRule& r) { return r.name == rule; });
  WHERRY_CHECK(it != rules.end(), "no audit rule {}", rule);
  report.findings.push_back({&*it, at ? at->name : "", node ? node->builtin + " " + node->path : "", std::move(found)});
}

bool is_integer_node(const Audit& audit, const TflNode& node) {
  if (crosses_border(node)) return false;
  return std::any_of(node.outputs.begin(), node.outputs.end(), [&](int id) { return is_quantized(audit.tensor(id)); });
}

const BuiltinRule* integer_weights(const Audit& audit, const TflNode& node) {
  const BuiltinRule* rule = rule_of(node.builtin);
  if (!rule || rule->kind != BuiltinRule::weighted || node.outputs.empty()) return nullptr;
  const TflTensor *input = audit.input(node, rule->input), *weight = audit.input(node, rule->weight);
  return is_quantized(input) && weight && weight->constant && weight->dtype == DType::int8 && weight->quantization &&
                 !weight->quantization->scales.empty()
             ? rule
             : nullptr;
}

namespace {

std::string_view name(AuditSeverity severity) {
  return severity == AuditSeverity::error ? "error" : severity == AuditSeverity::warning ? "warning" : "note";
}

void count_types(const Audit& audit) {
  std::set<int> weights, biases, activations;
  auto& census = audit.report.census;
  for (const TflNode& node : audit.graph.nodes) {
    const BuiltinRule* rule = rule_of(node.builtin);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const TflTensor* tensor = audit.tensor(node.inputs[i]);
      if (!tensor || !tensor->constant) continue;
      const bool weighted = rule && rule->kind == BuiltinRule::weighted;
      if (weighted && static_cast<int>(i) == rule->weight) weights.insert(node.inputs[i]);
      if (weighted && static_cast<int>(i) == rule->bias) biases.insert(node.inputs[i]);
    }
    for (const int id : node.outputs)
      if (id >= 0) activations.insert(id);
    ++census["operators"][crosses_border(node) ? "border" : is_integer_node(audit, node) ? "integer" : "other"];
  }
  for (const Port& port : audit.graph.inputs) activations.insert(port.value);
  for (std::size_t i = 0; i < audit.graph.tensors.size(); ++i) {
    const int id = static_cast<int>(i);
    const char* role = weights.contains(id) ? "weight" : biases.contains(id) ? "bias" : activations.contains(id) ? "activation" : "other";
    ++census[role][std::string(wherry::name(audit.graph.tensors[i].dtype))];
  }
}

}  // namespace

int AuditReport::count(AuditSeverity severity) const {
  return static_cast<int>(
      std::count_if(findings.begin(), findings.end(), [&](const AuditFinding& f) { return f.rule->severity == severity; }));
}

AuditReport audit(const TflGraph& graph, const AuditOptions& options) {
  AuditReport report;
  Audit look(graph, options, report);
  count_types(look);
  look_at_scales(look);
  look_at_grids(look);
  look_at_weights(look);
  look_at_structure(look);
  look_at_observed(look);
  if (options.reference) look_at_reference(look);
  std::stable_sort(report.findings.begin(), report.findings.end(), [](const AuditFinding& a, const AuditFinding& b) {
    return std::pair(a.rule->severity, a.rule) < std::pair(b.rule->severity, b.rule);
  });
  return report;
}

std::string text(const AuditReport& report, std::size_t places_each) {
  std::vector<std::string> lines;
  for (const auto& [role, types] : report.census) {
    std::vector<std::string> parts;
    for (const auto& [type, count] : types) parts.push_back(fmt::format("{} {}", type, count));
    lines.push_back(fmt::format("  {:<11} {}", role, join(parts, ", ")));
  }
  for (auto first = report.findings.begin(); first != report.findings.end();) {
    const auto last = std::find_if(first, report.findings.end(), [&](const AuditFinding& f) { return f.rule != first->rule; });
    const AuditRule& rule = *first->rule;
    const auto places = static_cast<std::size_t>(last - first);
    lines.push_back(fmt::format("{} {}: {} ({})", name(rule.severity), rule.name, rule.what,
                                places == 1 ? "1 place" : fmt::format("{} places", places)));
    for (auto it = first; it != first + static_cast<std::ptrdiff_t>(std::min(places, places_each)); ++it)
      lines.push_back(fmt::format("  {}{}{}: {}", it->node, it->node.empty() || it->tensor.empty() ? "" : ", ", it->tensor, it->found));
    if (places > places_each) lines.push_back(fmt::format("  … and {} more (--json lists all)", places - places_each));
    lines.push_back(fmt::format("  why  {}", rule.why));
    lines.push_back(fmt::format("  try  {}", rule.next));
    first = last;
  }
  lines.push_back(fmt::format("{} errors, {} warnings, {} notes", report.count(AuditSeverity::error), report.count(AuditSeverity::warning),
                              report.count(AuditSeverity::note)));
  return join(lines, "\n");
}

nlohmann::ordered_json to_json(const AuditReport& report) {
  nlohmann::ordered_json j = {{"errors", report.count(AuditSeverity::error)},
                              {"warnings", report.count(AuditSeverity::warning)},
                              {"notes", report.count(AuditSeverity::note)},
                              {"census", report.census},
                              {"findings", nlohmann::ordered_json::array()}};
  for (const AuditFinding& f : report.findings)
    j["findings"].push_back({{"rule", f.rule->name},
                             {"severity", name(f.rule->severity)},
                             {"what", f.rule->what},
                             {"operator", f.node},
                             {"tensor", f.tensor},
                             {"found", f.found},
                             {"why", f.rule->why},
                             {"next", f.rule->next}});
  return j;
}

}  // namespace wherry
