// Source → code of a framework, and the safetensors that its load_weights reads.
#include "base/files.h"
#include "cli/source_code.h"
#include "cli/stages.h"
#include "export/safetensors/write_safetensors.h"
#include "ir/outline.h"

namespace wherry {

namespace fs = std::filesystem;

void convert_to_source(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages) {
  stages.begin("write");
  const fs::path weights_file = fs::path(options.out).replace_extension(".safetensors");
  const source::SourceCode code =
      source_code(source, options.to, {.origin = options.source.filename().string(), .weights = weights_file.filename().string()});
  write_safetensors(weights_of(source.graph), weights_file);
  write_text(options.out, code.text);
  stages.end();
  result.beside.push_back(weights_file);
  for (const Node& node : source.graph.nodes) ++result.ops[std::string(node.op->name)];
  for (const Port& p : source.graph.inputs) result.inputs.push_back({p.name, source.graph.type(p.value)});
  for (const Port& p : source.graph.outputs) result.outputs.push_back({p.name, source.graph.type(p.value)});
}

}  // namespace wherry
