// Source → .onnx, verified in ONNX Runtime where it is installed, else by reading the file again.
#include "base/files.h"
#include "base/version.h"
#include "cli/inputs.h"
#include "cli/stages.h"
#include "export/onnx/write_onnx.h"
#include "import/onnx/read_onnx.h"
#include "ir/bind.h"
#include "lower/lower_onnx.h"
#include "ops/all_ops.h"
#include "runtime/environments.h"
#include "verify/provenance.h"

namespace wherry {

namespace fs = std::filesystem;

namespace {

OnnxMetadata metadata_of(const LoadedSource& source, const ConvertOptions& options) {
  const Provenance p{.generator = fmt::format("wherry {}", version),
                     .source = options.source.filename().string(),
                     .source_hash = hash_bytes(MappedFile::open(options.source)->text()),
                     .precision = "float32",
                     .io = "nchw",
                     .ports = {},
                     .layers = {}};
  return {.producer_version = std::string(version), .properties = {{"WHERRY_PROVENANCE", to_json_text(p)}, {"model", source.graph.name}}};
}

// ONNX Runtime has the last word; without it the file is read back and evaluated, which finds what was written wrongly but not what
// is understood wrongly.
std::unique_ptr<Side> written_side(const fs::path& file, const Side& reference, const ConvertOptions& options, ConvertResult& result) {
  try {
    result.runtime = "ONNX Runtime";
    return python_side(file, reference.inputs(), reference.outputs(), options.threads);
  } catch (const Failure& failure) {
    if (failure.diagnostics().front().code != "E706") throw;
    Diagnostic missing = failure.diagnostics().front();
    missing.severity = Severity::warning;
    missing.message = "the file was read again, not run: " + missing.message;
    result.warnings.push_back(std::move(missing));
  }
  result.runtime = "the reference evaluator, read again (ONNX Runtime is not installed)";
  Diagnostics diagnostics;
  const Graph graph = with_open_as_one(read_onnx(file, all_ops(), {}, diagnostics));
  diagnostics.throw_if_errors();
  return evaluator_side(graph, all_ops(), "the file");
}

}  // namespace

void convert_to_onnx(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  Diagnostics diagnostics;
  if (options.precision.value_or(Precision::float32) != Precision::float32)
    fail({.code = "E901",
          .message = fmt::format("an .onnx file is written as float32, not {}", name(*options.precision)),
          .next = "leave --precision out; .tflite takes the others"});
  stages.begin("lower");
  const OnnxGraph graph = lower_to_onnx(source.graph, all_ops(), options.opset.value_or(default_onnx_opset), diagnostics);
  diagnostics.throw_if_errors();

  stages.begin("write");
  const fs::path beside = fs::path(options.out).replace_extension(".onnx.data");
  const bool external = needs_external_data(graph);
  AtomicFile file(options.out);
  std::optional<AtomicFile> weights;
  if (external) weights.emplace(beside);
  write_onnx(graph, metadata_of(source, options), file, weights ? &*weights : nullptr, beside.filename().string());
  file.finish();
  if (weights) weights->commit();

  if (options.verify) {
    stages.begin("verify");
    const auto reference =
        evaluator_side(with_open_as_one(source.graph), all_ops(), "the source", [&](int done, int total) { stages.progress(done, total); });
    const auto written = written_side(file.temporary(), *reference, options, result);
    const double tolerance = options.tolerance.value_or(tolerance_of("float32"));
    result.verified = verify_sides(*reference, *written, seeded_inputs(reference->inputs(), 0), tolerance, false);
  }
  if (!result.verified || result.verified->match) {
    file.commit();
    if (external) result.beside.push_back(beside);
  } else if (external) {
    fs::remove(beside);
  }
  stages.end();

  result.io = "nchw";
  for (const OnnxNode& node : graph.nodes) ++result.ops[node.op];
  for (const auto& [tensor, type] : graph.inputs) result.inputs.push_back({graph.tensors[static_cast<std::size_t>(tensor)].name, type});
  for (const auto& [tensor, type] : graph.outputs) result.outputs.push_back({graph.tensors[static_cast<std::size_t>(tensor)].name, type});
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
}

}  // namespace wherry
