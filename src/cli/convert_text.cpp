// Source → text and safetensors.
#include "base/check.h"
#include "base/files.h"
#include "cli/quantization.h"
#include "export/safetensors/write_safetensors.h"
#include "export/tflite/write_tflite.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "ir/text/read_model.h"
#include "ir/text/write_model.h"
#include "ops/all_ops.h"

namespace wherry {

namespace fs = std::filesystem;

namespace {

// The text is proved before anything is written: read and flattened, it must give the very graph it came from.
void prove_text(const LoadedSource& source, const std::string& text, const Weights& weights, const fs::path& out) {
  Diagnostics diagnostics;
  const Model model = parse_model(text, out, library_folders(), diagnostics);
  diagnostics.throw_if_errors();
  FlattenOptions flatten_options;
  flatten_options.weights = &weights;
  const Graph again = flatten(model, all_ops(), flatten_options, diagnostics);
  diagnostics.throw_if_errors();
  const std::string difference = first_difference(source.graph, again);
  WHERRY_CHECK(difference.empty(), "the text does not give its graph back: {}", difference);
}

// Integers as the text tells them: the section, and what its file of codes holds.
struct Section {
  TflGraph graph;  // the float one
  TextValue text;
  Weights codes;
  std::string file;  // the integer model that is to come out of it
};

std::optional<Section> section_of(const LoadedSource& source, const ConvertOptions& options, const fs::path& codes_name,
                                  ConvertResult& result, Stages& stages, Diagnostics& diagnostics) {
  if (options.precision == Precision::float32) return std::nullopt;
  if (!is_calibrated(options.precision.value()))
    fail({.code = "E901",
          .message = fmt::format("a text keeps the integers of int8 and int16x8, not of {}", name(options.precision.value())),
          .next = "write a .tflite, or leave --precision out"});
  stages.begin("lower");
  const Lowered lowered = lowered_for_integers(source, options, diagnostics);
  DecidedPlan plan = decide_plan(source, lowered.graph, options, stages, diagnostics);
  Section section{.graph = lowered.graph, .text = {}, .codes = codes_of(lowered.graph, plan.written), .file = {}};
  if (uses_section(source, options)) {
    section.text = source.model->quantization;
    for (TextMember& member : section.text.members)
      if (member.first == "codes") member.second = TextValue::of(codes_name.string());
  } else {
    section.text = plan_to_text(lowered.graph, plan.written, plan.notes, codes_name.string());
  }
  section.file = tflite_bytes(plan.quantized.graph);
  result.mixed = std::move(plan.mixed);
  return section;
}

// The section must give the very integers that it was made of.
void prove_section(const Section& section, const std::string& text, const fs::path& out) {
  Diagnostics diagnostics;
  const Model model = parse_model(text, out, library_folders(), diagnostics);
  diagnostics.throw_if_errors();
  const WrittenPlan again = plan_from_text(section.graph, model, section.codes, diagnostics);
  diagnostics.throw_if_errors();
  const Quantized quantized = apply_plan(remapped(section.graph, again.channels), again.plan, again.apply);
  WHERRY_CHECK(tflite_bytes(quantized.graph) == section.file, "the text's quantization does not give its integers back");
}

}  // namespace

void convert_to_text(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("outline");
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");
  Model model = source.model ? *source.model : outline(source.graph, all_ops());
  model.weights = weights_file.filename().string();
  if (model.name.empty()) model.name = source.graph.name;

  Diagnostics diagnostics;
  const fs::path codes_file = fs::path(options.out).replace_extension(".codes.safetensors");
  const std::optional<Section> section = section_of(source, options, codes_file.filename(), result, stages, diagnostics);
  model.quantization = section ? section->text : TextValue{};

  const std::string text = options.out.extension() == ".json" ? write_json(model) : write_yaml(model);
  const Weights weights = weights_of(source.graph);

  if (options.verify) {
    stages.begin("verify");
    prove_text(source, text, weights, options.out);
    if (section) prove_section(*section, text, options.out);
  }
  stages.begin("write");
  write_safetensors(weights, weights_file);
  if (section) write_safetensors(section->codes, codes_file);
  write_text(options.out, text);
  stages.end();
  result.beside.push_back(weights_file);
  if (section) result.beside.push_back(codes_file);
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
  for (const Node& node : source.graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : source.graph.inputs) result.inputs.push_back({p.name, source.graph.type(p.value)});
  for (const Port& p : source.graph.outputs) result.outputs.push_back({p.name, source.graph.type(p.value)});
}

}  // namespace wherry
