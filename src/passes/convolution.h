// A convolution as the passes that rewrite weights see it: one view of conv1d, conv2d, conv_transpose1d/2d and linear.
#pragma once

#include "ir/builder.h"

namespace wherry {

struct Convolution {
  const Node* node = nullptr;
  Tensor weight;               // float32
  std::optional<Tensor> bias;  // float32 [out]
  std::int64_t groups = 1;
  std::int64_t in = 0, out = 0;  // channels
  bool transposed = false;       // weight is [in, out / groups, kernel…], not [out, in / groups, kernel…]
  int channel_axis = 1;          // of the output: 1, or the last for linear

  bool depthwise() const { return !transposed && groups == in && groups == out && groups > 1; }
  bool pointwise() const;  // a window of one element
};

// Empty when the node is none, or its weights are not float32 constants.
std::optional<Convolution> as_convolution(const Graph& graph, const Node& node);

// Adds the convolution with other weights (and as many groups as they say) in place of its node; gives its output.
ValueId add_changed(Rewriter& rw, const Convolution& conv, const Tensor& weight, const std::optional<Tensor>& bias, std::int64_t groups);

// The key of a weight that a pass has changed: no longer the one in the weights file.
std::string folded_key(const std::string& key);

// Slices of `tensor` (float32) along `axis`, in the order of `index`.
Tensor taken(const Tensor& tensor, std::size_t axis, const std::vector<int>& index);

}  // namespace wherry
