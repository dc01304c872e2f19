#include "cli/convert.h"

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/quantization.h"

#include <nlohmann/json.hpp>

namespace wherry {

namespace fs = std::filesystem;

namespace {

// What an output's suffix says.
struct Target {
  std::string_view suffix;
  void (*convert)(LoadedSource&, const ConvertOptions&, ConvertResult&, Stages&);
};
constexpr Target targets[] = {
    {".tflite", convert_to_tflite}, {".yaml", convert_to_text},   {".yml", convert_to_text},  {".json", convert_to_text},
    {".py", convert_to_source},     {".keras", convert_to_keras}, {".onnx", convert_to_onnx},
};

const Target& target_of(const fs::path& out) {
  const std::string suffix = out.extension().string();
  std::vector<std::string> suffixes;
  for (const Target& target : targets) {
    if (target.suffix == suffix) return target;
    suffixes.emplace_back(target.suffix);
  }
  fail({.code = "E602",
        .message = fmt::format("'{}' does not say what to write", out.string()),
        .next = fmt::format("end the output's name in {}", join(suffixes, ", "))});
}

void check_l1_cache(const Target& target, const ConvertOptions& options) {
  if (!options.l1_cache) return;
  if (*options.l1_cache < 1)
    fail({.code = "E901", .message = fmt::format("--l1-cache {}: it is in kilobytes, 1 or more", *options.l1_cache)});
  const bool is_tflite = target.suffix == ".tflite";
  if (is_tflite && (options.precision == Precision::float32 || options.precision == Precision::float16)) return;
  fail({.code = "E604",
        .message = is_tflite ? fmt::format("--l1-cache is for float32 and float16, and not needed for {}", name(*options.precision))
                             : fmt::format("--l1-cache is for a .tflite, not for '{}'", options.out.string()),
        .next = "leave --l1-cache out"});
}

}  // namespace

std::string_view name(Precision precision) {
  constexpr std::string_view names[] = {"float32", "float16", "dynamic", "int8-weights", "int4", "int8", "int16x8"};
  return names[static_cast<std::size_t>(precision)];
}
std::string_view name(Io io) { return io == Io::nhwc ? "nhwc" : "nchw"; }

ConvertResult convert(const ConvertOptions& options) {
  const Target& target = target_of(options.out);
  ConvertResult result{.out = options.out};
  Stages stages(result, options);
  stages.begin("import");
  LoadedSource source = load_source(options.source, options.load);
  result.warnings = source.warnings;
  const ConvertOptions decided = with_section(source, options);
  check_l1_cache(target, decided);
  target.convert(source, decided, result, stages);
  std::error_code error;
  result.bytes = fs::file_size(options.out, error);
  if (error) result.bytes = 0;
  return result;
}

nlohmann::ordered_json to_json(const NamedType& port) { return {{"name", port.name}, {"type", text(port.type)}}; }

nlohmann::ordered_json to_json(const ConvertResult& r) {
  nlohmann::ordered_json j = {{"output", r.out.string()}, {"bytes", r.bytes}};
  for (const auto& [stage, seconds] : r.seconds) j["seconds"][stage] = seconds;
  j["peak_rss_mb"] = peak_rss_mb();
  j["verified"] = r.verified && r.verified->match;
  if (r.verified) j["runtime"] = r.runtime;
  if (r.verified) j.update(to_json(r.verified->worst));
  if (r.verified && !r.verified->match) j["first_mismatch"] = r.verified->first_mismatch;
  if (r.audit) j["audit"] = to_json(*r.audit);
  if (r.mixed) {
    j["target"] = {{"reached", r.mixed->reached}, {"chosen", r.mixed->chosen}};
    for (const ParetoPoint& p : r.mixed->pareto)
      j["target"]["tried"].push_back({{"outside_int8", p.outside},
                                      {"sqnr_db", p.score.sqnr_db},
                                      {"agreement", p.score.agreement},
                                      {"expected_agreement", p.score.expected},
                                      {"added", p.added}});
  }
  j["ops"] = r.ops;
  j["io"] = r.io;
  for (const NamedType& port : r.inputs) j["inputs"].push_back(to_json(port));
  for (const NamedType& port : r.outputs) j["outputs"].push_back(to_json(port));
  for (const Diagnostic& warning : r.warnings) j["warnings"].push_back(to_json(warning));
  return j;
}

}  // namespace wherry
