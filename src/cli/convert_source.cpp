// Source → code of a framework, and the safetensors that its load_weights reads.
#include "base/files.h"
#include "cli/inputs.h"
#include "cli/source_code.h"
#include "cli/stages.h"
#include "export/safetensors/write_safetensors.h"
#include "ir/bind.h"
#include "ir/outline.h"
#include "ops/all_ops.h"
#include "verify/side.h"

namespace wherry {

namespace fs = std::filesystem;

namespace {

// In the framework that the code is for. Where that is not installed the result says so: the code may be meant for another machine.
void verify_code(const Graph& graph, const fs::path& file, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("verify");
  try {
    const auto reference =
        evaluator_side(with_open_as_one(graph), all_ops(), "the source", [&](int done, int total) { stages.progress(done, total); });
    const auto written = python_side(file, reference->inputs(), reference->outputs(), options.threads);
    result.runtime = written->what().substr(written->what().find(" in ") + 4);
    const double tolerance = options.tolerance.value_or(tolerance_of("float32"));
    result.verified = verify_sides(*reference, *written, seeded_inputs(reference->inputs(), 0), tolerance, false);
  } catch (const Failure& failure) {
    for (const Diagnostic& diagnostic : failure.diagnostics()) {
      if (diagnostic.code != "E706") throw;
      result.warnings.push_back(diagnostic);
      result.warnings.back().severity = Severity::warning;
      result.warnings.back().message = "not verified: " + diagnostic.message;
    }
  }
}

}  // namespace

void convert_to_source(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("write");
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");
  const source::SourceCode code =
      source_code(source, options.to, {.origin = options.source.filename().string(), .weights = weights_file.filename().string()});
  const bool fresh = !fs::exists(weights_file);
  write_safetensors(weights_of(source.graph), weights_file);
  AtomicFile file(options.out);
  file.write(code.text);
  file.finish();
  if (options.verify) verify_code(source.graph, file.temporary(), options, result, stages);
  if (!result.verified || result.verified->match)
    file.commit();
  else if (fresh)
    fs::remove(weights_file);
  stages.end();
  result.beside.push_back(weights_file);
  for (const Node& node : source.graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : source.graph.inputs) result.inputs.push_back({p.name, source.graph.type(p.value)});
  for (const Port& p : source.graph.outputs) result.outputs.push_back({p.name, source.graph.type(p.value)});
}

}  // namespace wherry
