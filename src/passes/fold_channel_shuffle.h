// Takes channel_shuffle out by permuting the weights of the convolutions around it.
#pragma once

#include "ir/builder.h"

namespace wherry {

// A shuffle goes where its order of channels can be carried, exactly, to convolutions that take it up:
//   backwards, through operators that treat channels alike, into the output channels of a convolution that only it takes;
//   or forwards, through such operators and depthwise convolutions, into the input channels of every convolution behind it.
// A grouped convolution takes it up as a dense one with zeros, while all that this adds stays within 5 % of the model's
// multiply-accumulates. What cannot be taken up stays as it is.
// Needs: constant weights. Keeps: outputs; a value whose channels now lie in another order gets a name of its own.
// Before fold_batchnorm: a shuffle may stand between a convolution and its batch norm.
Graph fold_channel_shuffle(const Graph& graph, const OpTable& ops);

}  // namespace wherry
