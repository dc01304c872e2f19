#include "cli/convert.h"

#include "base/files.h"
#include "base/text.h"
#include "cli/provenance.h"
#include "export/safetensors/write_safetensors.h"
#include "export/tflite/write_tflite.h"
#include "ir/bind.h"
#include "ir/outline.h"
#include "ir/text/write_model.h"
#include "ops/all_ops.h"
#include "runtime/evaluate.h"

#include <chrono>

namespace wherry {

namespace fs = std::filesystem;

namespace {

// Times the stages: each lasts until the next begins.
class Stages {
 public:
  Stages(ConvertResult& result, const ConvertOptions& options) : result_(result), options_(options) {}
  void begin(std::string name) {
    end();
    name_ = std::move(name);
    begin_ = Clock::now();
    progress(0, 0);
  }
  void progress(double done, double total) const {
    if (options_.progress) options_.progress(name_, done, total);
  }
  void end() {
    if (!name_.empty()) result_.seconds.emplace_back(name_, std::chrono::duration<double>(Clock::now() - begin_).count());
    name_.clear();
  }

 private:
  using Clock = std::chrono::steady_clock;
  ConvertResult& result_;
  const ConvertOptions& options_;
  std::string name_;
  Clock::time_point begin_{};
};

void require_sizes(const Graph& graph) {
  const std::vector<std::string> open = open_dims(graph);
  if (open.empty()) return;
  fail({.code = "E504",
        .message = fmt::format("the model leaves dimensions open that a .tflite file fixes: {}", join(open, ", ")),
        .next = fmt::format("give each a size: --dim {}=1", open.front())});
}

TfliteMetadata metadata_of(const LoadedSource& source, const Lowered& lowered, const ConvertOptions& options) {
  TfliteMetadata metadata;
  metadata.description = fmt::format("{}, converted by Wherry", source.graph.name);
  if (source.model) describe_preprocessing(*source.model, metadata);
  metadata.provenance = provenance(source, lowered, options);
  return metadata;
}

VerifyReport verify_file(const Graph& graph, const fs::path& file, const ConvertOptions& options, const Stages& stages) {
  const auto reference = evaluator_side(graph, all_ops(), "the source", [&](int done, int total) { stages.progress(done, total); });
  const auto written = litert_side(file, reference->inputs(), reference->outputs(), options.threads);
  const std::vector<Tensor> inputs = seeded_inputs(graph, 0);
  const double tolerance = options.tolerance.value_or(tolerance_of(options.precision == Precision::float16 ? "float16" : "float32"));
  VerifyReport report = verify_sides(*reference, *written, inputs, tolerance, false);
  if (!report.match) report = verify_sides(*reference, *written, inputs, tolerance, true);   // names the first layer that differs
  return report;
}

void convert_to_tflite(const LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  require_sizes(source.graph);
  Diagnostics diagnostics;

  stages.begin("passes");
  std::vector<PassRecord> records;
  const Graph graph = run_passes(source.graph, all_ops(), options.passes, records);

  stages.begin("lower");
  const Io io = options.io.value_or(Io::nhwc);
  Lowered lowered = lower_to_tfl(graph, all_ops(), {.io = io}, diagnostics);
  diagnostics.throw_if_errors();
  if (options.precision == Precision::float16) to_float16(lowered.graph, diagnostics);

  stages.begin("write");
  AtomicFile file(options.out);
  write_tflite(lowered.graph, metadata_of(source, lowered, options), file);
  file.finish();

  if (options.verify) {
    stages.begin("verify");
    result.verified = verify_file(source.graph, file.temporary(), options, stages);
  }
  if (!result.verified || result.verified->match) file.commit();
  stages.end();

  result.io = io == Io::nhwc ? "nhwc" : "nchw";
  for (const TflNode& node : lowered.graph.nodes) ++result.ops[node.builtin];
  const auto port = [&](const Port& p) {
    const TflTensor& tensor = lowered.graph.tensors[static_cast<std::size_t>(p.value)];
    return NamedType{p.name, {tensor.dtype, to_shape(tensor.sizes)}};
  };
  for (const Port& p : lowered.graph.inputs) result.inputs.push_back(port(p));
  for (const Port& p : lowered.graph.outputs) result.outputs.push_back(port(p));
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
}

// The text is proved before it is kept: read back and flattened, it must give the very graph it came from.
void prove_text(const Graph& graph, const fs::path& text, const fs::path& weights) {
  const LoadedSource again = load_source(text, {.weights = weights, .seed = {}, .dims = {}});
  const std::string difference = first_difference(graph, again.graph);
  WHERRY_CHECK(difference.empty(), "the text does not give its graph back: {}", difference);
}

void convert_to_text(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("outline");
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");
  Model model = source.model ? std::move(*source.model) : outline(source.graph, all_ops());
  model.weights = weights_file.filename().string();
  if (model.name.empty()) model.name = source.graph.name;

  stages.begin("write");
  const std::string text = options.out.extension() == ".json" ? write_json(model) : write_yaml(model);
  const fs::path draft = fs::path(options.out).replace_extension(fmt::format(".part{}", options.out.extension().string()));
  write_safetensors(weights_of(source.graph), weights_file);
  AtomicFile file(options.out);
  file.write(text);
  file.finish();

  if (options.verify) {
    stages.begin("verify");
    Diagnostics diagnostics;
    prove_text(source.graph, file.temporary(), weights_file);
  }
  file.commit();
  stages.end();
  result.beside.push_back(weights_file);
  for (const Node& node : source.graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : source.graph.inputs) result.inputs.push_back({p.name, source.graph.type(p.value)});
  for (const Port& p : source.graph.outputs) result.outputs.push_back({p.name, source.graph.type(p.value)});
}

}  // namespace

ConvertResult convert(const ConvertOptions& options) {
  const std::string suffix = options.out.extension().string();
  const bool to_text = suffix == ".yaml" || suffix == ".yml" || suffix == ".json";
  if (!to_text && suffix != ".tflite")
    fail({.code = "E602",
          .message = fmt::format("'{}' does not say what to write", options.out.string()),
          .next = "end the output's name in .tflite, .yaml or .json"});
  ConvertResult result{.out = options.out};
  Stages stages(result, options);
  stages.begin("import");
  LoadedSource source = load_source(options.source, options.load);
  result.warnings = source.warnings;
  if (to_text) convert_to_text(source, options, result, stages);
  else convert_to_tflite(source, options, result, stages);
  std::error_code error;
  result.bytes = fs::file_size(options.out, error);
  if (error) result.bytes = 0;
  return result;
}

}  // namespace wherry
