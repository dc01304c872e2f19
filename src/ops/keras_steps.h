// Steps that many keras slots share.
#pragma once

#include "ops/keras.h"
#include "ops/spatial.h"

namespace wherry::keras {

// The node's one output from its first input, whatever its order of axes.
void lower_each(KerasLowering& k, const Node& node, std::string_view layer, std::vector<KerasEntry> config = {});
void lower_activation(KerasLowering& k, const Node& node, const char* function);  // the layer Activation

Type channels_last(const Type& type);
int reshape(KerasLowering& k, int x, const Type& type);
int transpose(KerasLowering& k, int x, const std::vector<int>& axes, const Type& type);
// Part of one axis.
int slice(KerasLowering& k, int x, int axis, std::int64_t begin, std::int64_t size, const Type& x_type, std::int64_t step = 1);
int concatenate(KerasLowering& k, const std::vector<int>& parts, int axis, const Type& type);
// A layer of keras.layers.merging where both are tensors of one shape, else the operation: "Add" → ops.numpy.Add.
int binary(KerasLowering& k, const std::string& name, int a, int b, const Type& type);

// The channels-last input of a windowed layer with its padding. `padding` is "same" where the layer pads exactly so for images
// of this size; else the padding stands before the layer and the word is "valid".
struct Padded {
  int x;
  Type type;
  std::string padding;
  bool either = false;  // "same" and "valid" mean the same
};
// `strided`: the operator has an argument `stride`, by which its source code can tell where "same" will do.
struct PadOptions {
  double fill = 0;
  bool same = true, strided = false;
};
Padded pad(KerasLowering& k, const Node& node, ValueId x, const std::vector<Window>& windows, PadOptions options = {});

// kernel_size, strides, dilation_rate of windows.
Ints kernels(const std::vector<Window>& windows);
Ints strides(const std::vector<Window>& windows);
Ints dilations(const std::vector<Window>& windows);

// [out, in, places…] → [places…, in, out].
std::vector<int> places_first(std::size_t places);

// "1D", "2D" or "3D" for a node whose first input has so many places.
std::string places(const KerasLowering& k, const Node& node, std::string_view layer);

}  // namespace wherry::keras
