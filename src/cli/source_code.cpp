#include "cli/source_code.h"

#include "base/text.h"
#include "cli/keras_blocks.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "ops/all_ops.h"

namespace wherry {

namespace {

struct Framework {
  std::string_view name;
  source::SourceCode (*write)(const Model&, const Graph&, const OpTable&, const source::SourceOptions&, Diagnostics&);
};

source::SourceCode write_keras(const Model& model, const Graph& graph, const OpTable& ops, const source::SourceOptions& options,
                               Diagnostics& diagnostics) {
  const Graph sized = sized_for_keras(graph, diagnostics);
  if (diagnostics.has_errors()) return {};
  const source::Program program = source::read_program(model, sized, ops);
  std::vector<std::vector<KerasGraph>> uses;
  for (auto& lowered : lower_blocks(program, {.form = KerasForm::code}, diagnostics)) {
    uses.emplace_back();
    for (LoweredKeras& use : lowered) uses.back().push_back(std::move(use.graph));
  }
  return diagnostics.has_errors() ? source::SourceCode{} : source::write_keras(program, uses, options, diagnostics);
}

constexpr Framework frameworks[] = {
    {"torch", source::write_torch},
    {"keras", write_keras},
    {"jax", source::write_jax},
    {"nnx", source::write_nnx},
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

}  // namespace

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

source::SourceCode source_code(LoadedSource& source, const std::string& name, const source::SourceOptions& options) {
  const Framework& framework = framework_of(name);
  const Graph graph = with_text(source);
  if (source.model->name.empty()) source.model->name = source.graph.name;
  Diagnostics diagnostics;
  source::SourceCode code = framework.write(*source.model, graph, all_ops(), options, diagnostics);
  diagnostics.throw_if_errors();
  return code;
}

}  // namespace wherry
