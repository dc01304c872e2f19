// ONNX's LSTM, GRU and RNN, written out over a known number of time steps.
#pragma once

#include "ir/op_def.h"

namespace wherry::ops::onnx_recurrent {

std::vector<ForeignMap> maps();

}  // namespace wherry::ops::onnx_recurrent
