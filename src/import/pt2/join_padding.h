// A module that pads and then convolves is one convolution with that padding.
#pragma once

#include "ir/builder.h"

namespace wherry::pt2 {

// PyTorch's convolutions take the same padding on both sides, so that uneven ones (TensorFlow's "same") are modules whose forward pads
// with zeros first: `stem.pad` and `stem.conv2d` become the convolution `stem`. A pad that has a module of its own stays a layer.
Graph join_padding(const Graph& graph, const OpTable& ops);

}  // namespace wherry::pt2
