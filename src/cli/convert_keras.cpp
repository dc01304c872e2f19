// Source → .keras, verified in Keras where it is installed.
#include "base/check.h"
#include "base/files.h"
#include "base/version.h"
#include "cli/inputs.h"
#include "cli/keras_blocks.h"
#include "cli/source_code.h"
#include "cli/stages.h"
#include "export/keras/write_keras.h"
#include "lower/lower_keras.h"
#include "ops/all_ops.h"
#include "verify/provenance.h"

namespace wherry {

namespace {

std::string provenance_of(const LoadedSource& source, const LoweredKeras& lowered, Io io, const ConvertOptions& options) {
  Provenance p{.generator = fmt::format("wherry {}", version),
               .source = options.source.filename().string(),
               .source_hash = hash_bytes(MappedFile::open(options.source)->text()),
               .precision = "float32",
               .io = std::string(name(io)),
               .ports = lowered.port_orders,
               .layers = {}};
  for (const KerasTap& tap : lowered.taps) p.layers.push_back({tap.tensor, tap.name, tap.order});
  WHERRY_CHECK(!source.graph.name.empty(), "a graph without a name");
  return to_json_text(p);
}

// Each block of the text as a model of its own, where the options ask for that.
LoweredKeras lowered_source(LoadedSource& source, const ConvertOptions& options, Diagnostics& diagnostics) {
  const KerasOptions form{.io = options.io.value_or(Io::nhwc)};
  if (!options.nested) return lower_to_keras(source.graph, all_ops(), form, diagnostics);
  const Graph graph = sized_for_keras(with_text(source), diagnostics);
  if (diagnostics.has_errors()) return {};
  return lower_to_nested_keras(source::read_program(*source.model, graph, all_ops()), form, diagnostics);
}

// The source with a size for everything, as the file runs with one image.
std::optional<VerifyReport> verify_in_keras(const Graph& graph, const AtomicFile& file, const ConvertOptions& options,
                                            ConvertResult& result, const Stages& stages) {
  const auto reference = evaluator_side(graph, all_ops(), "the source", [&](int done, int total) { stages.progress(done, total); });
  try {
    const auto written = python_side(file.temporary(), reference->inputs(), reference->outputs(), options.threads);
    result.runtime = written->what().substr(written->what().find(" in ") + 4);
    const std::vector<Tensor> inputs = seeded_inputs(reference->inputs(), 0);
    const double tolerance = options.tolerance.value_or(tolerance_of("float32"));
    VerifyReport report = verify_sides(*reference, *written, inputs, tolerance, false);
    if (!report.match) report = verify_sides(*reference, *written, inputs, tolerance, true);  // names the first layer that differs
    return report;
  } catch (const Failure& failure) {
    if (failure.diagnostics().front().code != "E706") throw;
    Diagnostic missing = failure.diagnostics().front();
    missing.severity = Severity::warning;
    missing.message = "the file was written but not run: " + missing.message;
    result.warnings.push_back(std::move(missing));
    return std::nullopt;
  }
}

}  // namespace

void convert_to_keras(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  Diagnostics diagnostics;
  if (options.precision.value_or(Precision::float32) != Precision::float32)
    fail({.code = "E901", .message = "a .keras archive is written in float32", .next = "leave --precision out, or write a .tflite"});
  stages.begin("lower");
  const Io io = options.io.value_or(Io::nhwc);
  const LoweredKeras lowered = lowered_source(source, options, diagnostics);
  diagnostics.throw_if_errors();
  if (!options.dump.empty()) {
    std::filesystem::create_directories(options.dump);
    write_text(options.dump / "keras.txt", text(lowered.graph));
  }

  stages.begin("write");
  AtomicFile file(options.out);
  write_keras(lowered.graph, provenance_of(source, lowered, io, options), file);
  file.finish();

  if (options.verify) {
    stages.begin("verify");
    result.verified = verify_in_keras(source.graph, file, options, result, stages);
  }
  if (!result.verified || result.verified->match) file.commit();
  stages.end();

  result.io = name(io);
  result.ops = count_layers(lowered.graph);
  for (const auto& [ports, list] : {std::pair(&lowered.graph.inputs, &result.inputs), std::pair(&lowered.graph.outputs, &result.outputs)})
    for (const Port& p : *ports) {
      NamedType port{p.name, lowered.graph.tensors[static_cast<std::size_t>(p.value)].type};
      if (lowered.graph.batched) port.type.shape[0] = Dim::symbol("batch");
      list->push_back(std::move(port));
    }
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
}

}  // namespace wherry
