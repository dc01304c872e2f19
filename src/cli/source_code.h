// Any source as code of a framework.
#pragma once

#include "cli/load.h"
#include "export/source/source.h"

namespace wherry {

// The graph that the source's text flattens to: an imported graph is outlined first; `source.model` is set then.
Graph with_text(LoadedSource& source);

// `framework`: torch, keras, jax, nnx. E901 where it is none of them, E202 for operators that it has no text for. An imported graph is
// outlined first; `source.model` is set then.
source::SourceCode source_code(LoadedSource& source, const std::string& framework, const source::SourceOptions& options);

}  // namespace wherry
