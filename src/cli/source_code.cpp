#include "cli/source_code.h"

#include "base/text.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "ops/all_ops.h"

namespace wherry {

namespace {

struct Framework {
  std::string_view name;
  source::SourceCode (*write)(const Model&, const Graph&, const OpTable&, const source::SourceOptions&, Diagnostics&);
};
constexpr Framework frameworks[] = {
    {"torch", source::write_torch},
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
