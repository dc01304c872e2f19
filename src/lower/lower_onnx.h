// Graph → OnnxGraph: operators by their onnx_out slots, all others by what they mean in simpler ones. Values and weights keep their
// names, nothing is folded: the file is the model, layer by layer.
#pragma once

#include "base/diagnostics.h"
#include "ops/onnx.h"

namespace wherry {

// Operators that this opset cannot express are all collected (E202); an opset out of range is E901.
OnnxGraph lower_to_onnx(const Graph& graph, const OpTable& ops, int opset, Diagnostics& diagnostics);

}  // namespace wherry
