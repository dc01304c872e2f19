// Steps that many tflite slots share.
#pragma once

#include "ops/spatial.h"
#include "ops/tfl.h"

namespace wherry::tfl {

// Types as the target has them: [N, C, spatial…] → [N, spatial…, C].
Type channels_last(const Type& type);
// The input's constant, or a refusal that names it. `needed` inputs must be there.
const Tensor& weight(TflLowering& t, const Node& node, std::string_view input);

inline constexpr std::size_t most_axes = 6;  // XNNPACK takes operators on more, and then cannot run them

int int32s(TflLowering& t, const std::vector<std::int64_t>& values, Sizes sizes = {});  // sizes {}: a vector
// RESHAPE to `type` (at most one symbolic size); `x` itself where it has that shape.
int reshape(TflLowering& t, int x, const Type& type);
// TRANSPOSE: result axis i is axis axes[i] of x.
int transpose(TflLowering& t, int x, const std::vector<int>& axes, const Type& type);
int mean(TflLowering& t, int x, const std::vector<std::int64_t>& axes, const Type& type, bool keep_dims = true);
int concatenate(TflLowering& t, const std::vector<int>& parts, int axis, const Type& type);
// SLICE of one axis.
int slice(TflLowering& t, int x, int axis, std::int64_t begin, std::int64_t size, const Type& x_type);
// MUL, ADD, SUB, … of two tensors.
int binary(TflLowering& t, std::string_view builtin, int a, int b, const Type& type);

// The input of a windowed operator as the target wants it: rank 4, channels last, with what padding remains to be named.
// Rank 3 ([N, C, L]) becomes [N, 1, L, C].
struct Framed {
  int x = -1;
  Type type;                    // of x
  std::string_view padding;     // "SAME" or "VALID"
  std::vector<Window> windows;  // two, height first; before/after as they were asked for, with those of a merged PAD
};
struct Framing {
  float fill = 0;     // what padding holds
  bool same = true;   // SAME may be chosen
  bool merge = true;  // a PAD of zeros that makes x may become part of the padding, where that holds zeros too
};
// Exact: SAME where it pads the same, VALID where nothing is padded, else an explicit PAD.
Framed frame(TflLowering& t, const Node& node, ValueId x, std::vector<Window> windows, const Framing& framing = {});
// Stride and window options of a pooling builtin.
std::vector<TflOption> pool_options(const Framed& framed);
// The node's output as the operator gives it: rank 4, channels last.
Type framed_output(const Graph& graph, const Node& node);
// Gives `tensor` (of framed_output's type) as the node's output.
void give_framed(TflLowering& t, const Node& node, int tensor);

}  // namespace wherry::tfl
