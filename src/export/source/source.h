// A model's text as source code of a framework: one class or function pair for each block, parameters as arguments, weights under
// the text's own keys.
#pragma once

#include "base/diagnostics.h"
#include "export/source/program.h"
#include "ir/model.h"
#include "ir/op_def.h"
#include "ops/keras.h"

#include <string>

namespace wherry::source {

struct SourceOptions {
  std::string origin;   // what it was made of: "fbnet_a.yaml"
  std::string weights;  // the safetensors file that load_weights reads unless told otherwise
};

struct SourceCode {
  std::string text;
  std::string entry;  // the whole model's class or function: "FbnetA"
};

// Needs: `graph` is what `model` flattens to. Operators that have no text for the framework are E202, all of them.
SourceCode write_torch(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics);

SourceCode write_jax(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics);

// The same as modules of Flax NNX.
SourceCode write_nnx(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics);

// Keras 3. `uses`: by scope of the program and use, what Keras makes of source::cut. Where uses of a block differ in what none of its
// arguments says, the block has several classes.
SourceCode write_keras(const Program& program, const std::vector<std::vector<KerasGraph>>& uses, const SourceOptions& options,
                       Diagnostics& diagnostics);

}  // namespace wherry::source
