// Source → text and safetensors.
#include "base/check.h"
#include "base/files.h"
#include "cli/stages.h"
#include "export/safetensors/write_safetensors.h"
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

}  // namespace

void convert_to_text(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("outline");
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");
  Model model = source.model ? std::move(*source.model) : outline(source.graph, all_ops());
  model.weights = weights_file.filename().string();
  if (model.name.empty()) model.name = source.graph.name;

  const std::string text = options.out.extension() == ".json" ? write_json(model) : write_yaml(model);
  const Weights weights = weights_of(source.graph);

  if (options.verify) {
    stages.begin("verify");
    prove_text(source, text, weights, options.out);
  }
  stages.begin("write");
  write_safetensors(weights, weights_file);
  write_text(options.out, text);
  stages.end();
  result.beside.push_back(weights_file);
  for (const Node& node : source.graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : source.graph.inputs) result.inputs.push_back({p.name, source.graph.type(p.value)});
  for (const Port& p : source.graph.outputs) result.outputs.push_back({p.name, source.graph.type(p.value)});
}

}  // namespace wherry
