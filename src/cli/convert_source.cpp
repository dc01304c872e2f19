// Source → code of a framework, and the safetensors that its load_weights reads.
#include "base/files.h"
#include "base/text.h"
#include "cli/stages.h"
#include "export/safetensors/write_safetensors.h"
#include "export/source/source.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "ops/all_ops.h"

namespace wherry {

namespace fs = std::filesystem;

namespace {

struct Framework {
  std::string_view name;
  std::string (*write)(const Model&, const Graph&, const OpTable&, const source::SourceOptions&, Diagnostics&);
};
constexpr Framework frameworks[] = {
    {"torch", source::write_torch},
    {"jax", source::write_jax},
};

const Framework& framework_of(const std::string& name) {
  std::vector<std::string> names;
  for (const Framework& framework : frameworks) {
    if (framework.name == name) return framework;
    names.emplace_back(framework.name);
  }
  fail({.code = "E901",
        .message = name.empty() ? "a .py needs the framework that it is for" : fmt::format("'{}' is no framework that Wherry writes", name),
        .next = "give --to " + join(names, " or --to ")});
}

// The text with its graph: an imported graph is outlined first.
Graph with_text(LoadedSource& source) {
  if (source.model) return source.graph;
  source.model = outline(source.graph, all_ops());
  Diagnostics diagnostics;
  const Weights weights = weights_of(source.graph);
  FlattenOptions options;
  options.weights = &weights;
  Graph graph = flatten(*source.model, all_ops(), options, diagnostics);
  diagnostics.throw_if_errors();
  return graph;
}

}  // namespace

void convert_to_source(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  const Framework& framework = framework_of(options.to);
  stages.begin("outline");
  const Graph graph = with_text(source);
  if (source.model->name.empty()) source.model->name = source.graph.name;
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");

  stages.begin("write");
  Diagnostics diagnostics;
  const std::string code =
      framework.write(*source.model, graph, all_ops(),
                      {.origin = options.source.filename().string(), .weights = weights_file.filename().string()}, diagnostics);
  diagnostics.throw_if_errors();
  write_safetensors(weights_of(source.graph), weights_file);
  write_text(options.out, code);
  stages.end();
  result.beside.push_back(weights_file);
  for (const Node& node : graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : graph.inputs) result.inputs.push_back({p.name, graph.type(p.value)});
  for (const Port& p : graph.outputs) result.outputs.push_back({p.name, graph.type(p.value)});
}

}  // namespace wherry
