// Source → .tflite, verified in LiteRT.
#include "base/check.h"
#include "base/files.h"
#include "base/version.h"
#include "cli/calibration.h"
#include "cli/inputs.h"
#include "cli/quantization.h"
#include "data/preprocess.h"
#include "export/tflite/write_tflite.h"
#include "ir/outline.h"
#include "ir/text/write_model.h"
#include "lower/fit_cache.h"
#include "ops/all_ops.h"
#include "quantize/weight_only.h"
#include "verify/provenance.h"

#include <nlohmann/json.hpp>

namespace wherry {

namespace fs = std::filesystem;

namespace {

constexpr double least_cosine = 0.8;  // between the float and the integer model's answers

std::string provenance_of(const LoadedSource& source, const Lowered& lowered, const ConvertOptions& options) {
  Provenance p{.generator = fmt::format("wherry {}", version),
               .source = options.source.filename().string(),
               .source_hash = hash_bytes(MappedFile::open(options.source)->text()),
               .precision = std::string(name(options.precision.value())),
               .io = std::string(name(options.io.value_or(Io::nhwc))),
               .ports = {},
               .layers = {}};
  Diagnostics told_elsewhere;
  if (source.model)
    if (const std::optional<Preprocess> record = read_preprocess(*source.model, told_elsewhere)) p.preprocess = to_json(*record).dump();
  for (const TflTap& tap : lowered.taps) p.layers.push_back({tap.tensor, tap.name, tap.order, tap.factors, tap.offsets});
  for (const auto* ports : {&source.graph.inputs, &source.graph.outputs})
    for (const Port& port : *ports) p.ports[port.name] = io_order(source.graph.type(port.value), options.io.value_or(Io::nhwc));
  WHERRY_CHECK(!source.graph.name.empty(), "a graph without a name");
  return to_json_text(p);
}

// Normalisation in the metadata convention's units: of 0..255.
TfliteMetadata metadata_of(const LoadedSource& source, const Lowered& lowered, const ConvertOptions& options, Diagnostics& diagnostics) {
  TfliteMetadata metadata;
  metadata.description = source.graph.name;
  metadata.provenance = provenance_of(source, lowered, options);
  const std::optional<Model> described = describing_text(source, options);
  if (!described) return metadata;
  metadata.labels = read_labels(*described, library_folders(), diagnostics);
  const std::optional<Preprocess> preprocess = read_preprocess(*described, diagnostics);
  diagnostics.throw_if_errors();
  if (!preprocess) return metadata;
  const std::size_t channels = std::max<std::size_t>(preprocess->mean.size(), 1);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = preprocess->mean.empty() ? 0 : preprocess->mean[c], deviation = preprocess->std.empty() ? 1 : preprocess->std[c];
    metadata.mean.push_back(static_cast<float>(mean / preprocess->scale));
    metadata.std.push_back(static_cast<float>(deviation / preprocess->scale));
  }
  return metadata;
}

// A pass that changes what the graph computes is found here, by name.
void check_pass(const PassRecord& pass, const Graph& before, const Graph& after) {
  const auto a = evaluator_side(before, all_ops(), "the graph before"), b = evaluator_side(after, all_ops(), "the graph behind it");
  const VerifyReport report = verify_sides(*a, *b, seeded_inputs(a->inputs(), 0), tolerance_of("float32"), false);
  if (report.match) return;
  fail({.code = "E703",
        .message = fmt::format("pass {} changes the result by {:.1e} of its scale", pass.name, report.worst.relative()),
        .next = fmt::format("report this, and go on with --skip-pass {}", pass.name)});
}

// What --check-passes and --dump do after each pass.
PassOptions watched(const ConvertOptions& options) {
  PassOptions passes = options.passes;
  if (!options.check_passes && options.dump.empty()) return passes;
  if (!options.dump.empty()) {
    std::error_code error;
    fs::create_directories(options.dump, error);
    if (error)
      fail({.code = "E601",
            .message = fmt::format("cannot make the folder '{}': {}", options.dump.string(), error.message()),
            .next = "choose another"});
  }
  passes.after_each = [&options, number = 0](const PassRecord& pass, const Graph& before, const Graph& after) mutable {
    if (options.check_passes) check_pass(pass, before, after);
    if (!options.dump.empty())
      write_text(options.dump / fmt::format("{:02}-{}.yaml", ++number, pass.name), write_yaml(outline(after, all_ops())));
  };
  return passes;
}

VerifyReport verify_file(const Graph& graph, const fs::path& file, const ConvertOptions& options, const Stages& stages) {
  const auto reference = evaluator_side(graph, all_ops(), "the source", [&](int done, int total) { stages.progress(done, total); });
  const auto written = litert_side(file, reference->inputs(), reference->outputs(), options.threads);
  const std::vector<Tensor> inputs = seeded_inputs(reference->inputs(), 0);
  const double tolerance = options.tolerance.value_or(tolerance_of(name(options.precision.value())));
  VerifyReport report = verify_sides(*reference, *written, inputs, tolerance, false);
  if (!report.match) report = verify_sides(*reference, *written, inputs, tolerance, true);  // names the first layer that differs
  return report;
}

Samples made_up(std::vector<Tensor> inputs) {
  return {.count = 1, .load = [inputs = std::move(inputs)](std::size_t) { return inputs; }};
}

// Integers are made for real data: those are what they are tried on, and the angle between the answers is what counts.
VerifyReport verify_integers(const LoadedSource& source, const fs::path& file, const ConvertOptions& options, const Stages& stages,
                             Diagnostics& diagnostics) {
  constexpr std::size_t enough = 4;
  struct Sides {
    std::unique_ptr<Side> reference, written;
  };
  const auto sides = [&] {
    Sides out{evaluator_side(source.graph, all_ops(), "the source"), nullptr};
    out.written = litert_side(file, out.reference->inputs(), out.reference->outputs(), 1);
    return out;
  };
  std::vector<Sides> workers(static_cast<std::size_t>(options.threads));
  workers[0] = sides();
  const bool has_data = !options.calibrate.empty();
  const Samples samples =
      has_data ? source_samples(source, options, enough, diagnostics) : made_up(seeded_inputs(workers[0].reference->inputs(), 0));
  std::vector<VerifyReport> reports(samples.count);
  parallel_for(samples.count, options.threads, [&](std::size_t i, int worker) {
    Sides& own = workers[static_cast<std::size_t>(worker)];
    if (!own.reference) own = sides();
    if (worker == 0) stages.progress(static_cast<double>(i), static_cast<double>(samples.count));
    reports[i] = verify_sides(*own.reference, *own.written, samples.load(i), INFINITY, false);
  });
  VerifyReport report{.tolerance = least_cosine};
  for (std::size_t i = 0; i < samples.count; ++i) {
    const VerifyReport& one = reports[i];
    report.worst = i == 0 ? one.worst : worst(report.worst, one.worst);
    if (one.worst.cosine >= least_cosine || !report.match) continue;
    if (!has_data) {
      diagnostics.add(
          {.code = "E703",
           .message = fmt::format("on made-up inputs the integer model's answers are not the source's: cosine {:.3f}", one.worst.cosine),
           .next = "--calibrate DATA, for the float text, verifies on real data",
           .severity = Severity::warning});
      continue;
    }
    report.match = false;
    const VerifyReport layers = verify_sides(*workers[0].reference, *workers[0].written, samples.load(i), INFINITY, true);
    for (const LayerReport& layer : layers.layers)
      if (report.first_mismatch.empty() && layer.metrics.cosine < least_cosine) report.first_mismatch = layer.name;
  }
  return report;
}

// Replaces the float graph by its integer form; taps follow their tensors.
void quantize_lowered(const LoadedSource& source, Lowered& lowered, const ConvertOptions& options, ConvertResult& out, Stages& stages,
                      Diagnostics& diagnostics) {
  DecidedPlan result = decide_plan(source, lowered.graph, options, stages, diagnostics);
  for (TflTap& tap : lowered.taps) {
    ChannelMap map = map_of(result.written.channels, tap.tensor);
    tap.factors = std::move(map.factors);
    tap.offsets = std::move(map.offsets);
    tap.tensor = result.quantized.tensors[static_cast<std::size_t>(tap.tensor)];
  }
  std::erase_if(lowered.taps, [](const TflTap& tap) { return tap.tensor < 0; });
  out.mixed = std::move(result.mixed);
  out.audit = audit(result.quantized.graph);
  if (uses_section(source, options) && out.audit->count(AuditSeverity::error) > 0)
    fail({.code = "E811", .message = fmt::format("'{}' makes a file with faults:\n{}", options.source.string(), text(*out.audit))});
  WHERRY_CHECK(out.audit->count(AuditSeverity::error) == 0, "the integer graph has faults:\n{}", text(*out.audit));
  lowered.graph = std::move(result.quantized.graph);
}

}  // namespace

void convert_to_tflite(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  Diagnostics diagnostics;

  stages.begin("passes");
  std::vector<PassRecord> records;
  const Graph graph = run_passes(source.graph, all_ops(), watched(options), records);

  stages.begin("lower");
  const Io io = options.io.value_or(Io::nhwc);
  Lowered lowered = lower_to_tfl(graph, all_ops(), {.io = io}, diagnostics);
  diagnostics.throw_if_errors();
  if (options.l1_cache) fit_cache(lowered, *options.l1_cache);
  if (options.precision == Precision::float16) to_float16(lowered.graph, diagnostics);
  if (options.precision == Precision::dynamic) to_dynamic_range(lowered.graph);
  if (options.precision == Precision::int8_weights) to_int8_weights(lowered.graph);
  if (options.precision == Precision::int4) to_int4_weights(lowered.graph);
  if (is_calibrated(options.precision.value())) quantize_lowered(source, lowered, options, result, stages, diagnostics);

  if (!options.dump.empty()) write_text(options.dump / "tflite.txt", text(lowered.graph));

  stages.begin("write");
  const TfliteMetadata metadata = metadata_of(source, lowered, options, diagnostics);
  AtomicFile file(options.out);
  write_tflite(lowered.graph, metadata, file);
  file.finish();

  if (options.verify) {
    stages.begin("verify");
    result.verified = is_calibrated(options.precision.value()) ? verify_integers(source, file.temporary(), options, stages, diagnostics)
                                                               : verify_file(source.graph, file.temporary(), options, stages);
  }
  if (!result.verified || result.verified->match) file.commit();
  stages.end();

  result.io = name(io);
  result.calibrated = is_calibrated(options.precision.value());
  result.on_data = !options.calibrate.empty();
  for (const TflNode& node : lowered.graph.nodes) ++result.ops[node.builtin];
  const auto port = [&](const Port& p) {
    const TflTensor& tensor = lowered.graph.tensors[static_cast<std::size_t>(p.value)];
    return NamedType{p.name, {tensor.dtype, to_shape(tensor.sizes)}};
  };
  for (const Port& p : lowered.graph.inputs) result.inputs.push_back(port(p));
  for (const Port& p : lowered.graph.outputs) result.outputs.push_back(port(p));
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
}

}  // namespace wherry
