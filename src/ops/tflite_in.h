// What tflite_in functions share. A TensorFlow Lite operator's inputs are called "0", "1", … in their order, its options by the
// format's own names. Values lie as the file has them: images are channels last.
#pragma once

#include "ops/foreign.h"

namespace wherry::ops::tfl_in {

ValueId input(const ForeignNode& node, std::size_t place);  // E203 where it is left out
std::vector<ValueId> inputs(const ForeignNode& node);       // all that are given
bool has(const ForeignNode& node, std::size_t place);
const Tensor& constant(Builder& b, const ForeignNode& node, std::size_t place);  // E203 where it is computed
Ints constant_ints(Builder& b, const ForeignNode& node, std::size_t place);
Sizes shape_of(Builder& b, const ForeignNode& node, ValueId value);  // E203 where a size is open

ValueId permuted(Builder& b, ValueId value, const Ints& dims);          // a constant stays one; itself where nothing moves
ValueId channels_first(Builder& b, ValueId value);                      // [N, spatial…, C] as [N, C, spatial…]
ValueId channels_last(Builder& b, ValueId value);                       // the inverse
ValueId reshaped(Builder& b, ValueId value, const Sizes& sizes);        // a constant stays one; itself where it has that shape
ValueId as_stated(Builder& b, const ForeignNode& node, ValueId value);  // in the shape that the file states of the first output

// What a window adds before and behind an axis.
struct Sides {
  std::int64_t before = 0, after = 0;
};
// The padding of a sliding window by the options "padding" and strides, for the height and width of a channels-last x.
std::vector<Sides> sides(const ForeignNode& node, const Sizes& x, std::int64_t height, std::int64_t width);
bool even(const std::vector<Sides>& sides);
// As convolutions take it: [h, w], or [top, bottom, left, right] where they differ.
Ints padding(const std::vector<Sides>& sides);
// As `pad` takes it, of a channels-first image.
Ints pad_list(const std::vector<Sides>& sides);

}  // namespace wherry::ops::tfl_in
