#include "cli/keras_blocks.h"

#include "export/source/cut.h"
#include "ops/all_ops.h"

#include <algorithm>

namespace wherry {

namespace {

// On PyTorch Keras keeps a model's variables by their layers' names: these must differ between blocks too.
void name_fully(KerasGraph& graph, const std::string& path) {
  if (path.empty()) return;
  for (KerasNode& node : graph.nodes) node.name = keras_name(path) + "-" + node.name;
  for (KerasTensor& tensor : graph.tensors)
    if (tensor.node >= 0) tensor.name = graph.nodes[static_cast<std::size_t>(tensor.node)].name;
}

}  // namespace

std::vector<std::vector<LoweredKeras>> lower_blocks(const source::Program& program, const KerasOptions& options, Diagnostics& diagnostics) {
  lower_to_keras(program.graph, all_ops(), options, diagnostics);  // as a whole: what is refused has its path in the model
  std::vector<std::vector<LoweredKeras>> lowered;
  if (diagnostics.has_errors()) return lowered;
  for (const source::Scope& scope : program.scopes) {
    lowered.emplace_back();
    for (const source::Use& use : scope.uses)
      lowered.back().push_back(lower_to_keras(source::cut(program, scope, use), all_ops(), options, diagnostics));
  }
  return lowered;
}

LoweredKeras lower_to_nested_keras(const source::Program& program, const KerasOptions& options, Diagnostics& diagnostics) {
  KerasOptions all = options;
  std::vector<std::vector<LoweredKeras>> parts = lower_blocks(program, all, diagnostics);
  if (diagnostics.has_errors()) return {};
  const auto open = [](const LoweredKeras& part) { return part.graph.batched; };
  if (!std::all_of(parts.begin(), parts.end(), [&](const auto& uses) { return std::all_of(uses.begin(), uses.end(), open); })) {
    all.batch_open = false;  // one part knows its batch, so do those around it
    parts = lower_blocks(program, all, diagnostics);
  }
  for (std::size_t scope = 0; scope < parts.size(); ++scope)
    for (std::size_t use = 0; use < parts[scope].size(); ++use) {
      name_fully(parts[scope][use].graph, program.scopes[scope].uses[use].path);
      for (KerasNode& node : parts[scope][use].graph.nodes) {
        if (!node.is_block()) continue;
        const auto number = [&](std::size_t entry) {
          return static_cast<std::size_t>(std::get<std::int64_t>(std::get<Attr>(node.config[entry].value)));
        };
        node.inner = std::make_shared<const KerasGraph>(parts[number(0)][number(1)].graph);
        node.config.clear();
      }
    }
  return std::move(parts.back().front());
}

}  // namespace wherry
