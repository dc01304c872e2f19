// A text's blocks in Keras: each use of each block lowered by itself.
#pragma once

#include "export/source/program.h"
#include "lower/lower_keras.h"

namespace wherry {

// By scope of the program and use. Operators that Keras cannot express are E202, all of them, with their paths in the whole model.
std::vector<std::vector<LoweredKeras>> lower_blocks(const source::Program& program, const KerasOptions& options, Diagnostics& diagnostics);

// The whole model with its blocks as models within it.
LoweredKeras lower_to_nested_keras(const source::Program& program, const KerasOptions& options, Diagnostics& diagnostics);

}  // namespace wherry
