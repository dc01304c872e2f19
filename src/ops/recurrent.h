// PyTorch's and ONNX's recurrent layers and cells: LSTM, GRU and the plain one, written out over a known number of time steps.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::recurrent {

std::vector<ForeignMap> torch_maps();

}  // namespace wherry::ops::recurrent
