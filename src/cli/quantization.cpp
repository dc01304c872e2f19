#include "cli/quantization.h"

#include "cli/calibration.h"
#include "import/safetensors/read_safetensors.h"
#include "ops/all_ops.h"

namespace wherry {

namespace fs = std::filesystem;

namespace {

TextValue by(const ConvertOptions& options, const QuantizeResult& result, std::size_t samples) {
  TextValue out = TextValue::empty_map();
  const auto put = [&](const char* key, const Attr& value) { out.put(key, TextValue::of(value)); };
  put("ranges", std::string(name(options.quantize.plan.method)));
  put("rounding", std::string(name(options.quantize.rounding)));
  put("samples", static_cast<std::int64_t>(samples));
  put("corrected_on", static_cast<std::int64_t>(result.corrected_on));
  if (!result.channels.factors.empty()) put("equalized", true);
  if (options.quantize.target) put("accuracy_target", text(*options.quantize.target));
  return out;
}

DecidedPlan by_section(const LoadedSource& source, const TflGraph& graph, Diagnostics& diagnostics) {
  const PlanHead head = plan_head(*source.model, diagnostics);
  diagnostics.throw_if_errors();
  DecidedPlan out;
  out.written = plan_from_text(graph, *source.model, read_safetensors(codes_file(*source.model, head)), diagnostics);
  diagnostics.throw_if_errors();
  out.quantized = apply_plan(remapped(graph, out.written.channels), out.written.plan, out.written.apply);
  return out;
}

DecidedPlan by_data(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Stages& stages,
                    Diagnostics& diagnostics) {
  stages.begin("calibrate");
  const Samples samples = calibration_samples(source, graph, options, diagnostics);
  diagnostics.throw_if_errors();
  QuantizeOptions quantize_options = options.quantize;
  quantize_options.plan.activations = options.precision == Precision::int16x8 ? DType::int16 : DType::int8;
  quantize_options.threads = quantize_options.plan.threads = options.threads;
  quantize_options.cache = statistics_cache(source, options);
  if (options.quantize.target && options.quantize.target->metric == AccuracyTarget::top1_drop)
    quantize_options.labels = calibration_labels(graph, options, diagnostics);
  std::string stage = "calibrate";
  const auto progress = [&](std::string_view name, double done, double total) {
    if (name != stage) stages.begin(stage = name);
    stages.progress(done, total);
  };
  QuantizeResult result = quantize(graph, samples, quantize_options, litert_loader(), progress, diagnostics);
  DecidedPlan out;
  out.notes.by = by(options, result, samples.count);
  for (const auto& [node, weight] : result.plan.weights) out.notes.weights[node] = "nearest";
  for (const LayerRounding& layer : result.rounding) out.notes.weights[layer.node] = name(options.quantize.rounding);
  out.notes.channels_last = options.io.value_or(Io::nhwc) == Io::nhwc;
  out.written = {quantize_options.plan.activations, std::move(result.channels), std::move(result.plan), quantize_options.apply};
  out.quantized = std::move(result.quantized);
  out.mixed = std::move(result.mixed);
  return out;
}

}  // namespace

bool uses_section(const LoadedSource& source, const ConvertOptions& options) {
  if (!source.model || source.model->quantization.kind == TextValue::null || !options.calibrate.empty()) return false;
  if (!options.precision) return true;
  const TextValue* precision = source.model->quantization.find("precision");
  return precision && precision->string_value == name(*options.precision);
}

ConvertOptions with_section(const LoadedSource& source, ConvertOptions options) {
  if (!uses_section(source, options)) {
    if (!options.precision) options.precision = Precision::float32;
    return options;
  }
  Diagnostics diagnostics;
  const PlanHead head = plan_head(*source.model, diagnostics);
  diagnostics.throw_if_errors();
  options.precision = head.precision == name(Precision::int16x8) ? Precision::int16x8 : Precision::int8;
  if (!options.io) options.io = head.channels_last ? Io::nhwc : Io::nchw;
  return options;
}

Lowered lowered_for_integers(const LoadedSource& source, const ConvertOptions& options, Diagnostics& diagnostics) {
  std::vector<PassRecord> records;
  const Graph graph = run_passes(source.graph, all_ops(), options.passes, records);
  Lowered lowered = lower_to_tfl(graph, all_ops(), {.io = options.io.value_or(Io::nhwc)}, diagnostics);
  diagnostics.throw_if_errors();
  return lowered;
}

DecidedPlan decide_plan(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Stages& stages,
                        Diagnostics& diagnostics) {
  if (!uses_section(source, options)) return by_data(source, graph, options, stages, diagnostics);
  stages.begin("quantize");
  return by_section(source, graph, diagnostics);
}

fs::path codes_file(const Model& model, const PlanHead& head) { return model.file.parent_path() / head.codes; }

}  // namespace wherry
