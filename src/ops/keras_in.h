// What keras_in functions share. A layer's call has its inputs as "0", "1", …, its variables as "w0", "w1", … in Keras's order, and
// the entries of its configuration by their names (pairs of pairs as one list). Values lie as the file has them: channels last.
#pragma once

#include "ops/foreign.h"
#include "ops/tflite_in.h"

namespace wherry::ops::keras_in {

ValueId variable(const ForeignNode& node, int place);  // absent where the layer has fewer
// A list of `n` numbers, where one stands for all.
Ints per_axis(const ForeignNode& node, std::string_view entry, std::size_t n, std::int64_t fallback);
// Padding of a windowed layer by its entry "padding": of a channels-last x, for each place.
std::vector<tfl_in::Sides> sides(Builder& b, const ForeignNode& node, ValueId x, const Ints& kernel, const Ints& stride,
                                 const Ints& dilation);
// The channels-first x with padding that convolutions cannot say put before it; `padding` is what they shall say.
ValueId padded(Builder& b, ValueId x, const std::vector<tfl_in::Sides>& sides, double fill, Ints& padding);
// Keras's function of that name: "relu", "swish"; E203 where it is none of ours.
ValueId activation(Builder& b, const ForeignNode& node, ValueId x, const std::string& name);

}  // namespace wherry::ops::keras_in
