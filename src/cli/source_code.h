// Any source as code of a framework.
#pragma once

#include "cli/load.h"
#include "export/source/source.h"

namespace wherry {

// `framework`: torch, jax. E901 where it is none of them, E202 for operators that it has no text for. An imported graph is outlined
// first; `source.model` is set then.
source::SourceCode source_code(LoadedSource& source, const std::string& framework, const source::SourceOptions& options);

}  // namespace wherry
