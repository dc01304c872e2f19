// Small rewrites of the TFLite form, each exact and about at most two neighbours. run_peepholes lists them in their order.
#pragma once

#include "lower/lower_tfl.h"

namespace wherry {

// Keeps: what every output computes, and for each tap that stays its tensor and order. Taps of tensors that vanish go with them.
void run_peepholes(Lowered& lowered);

void narrow_index_constants(Lowered& lowered);  // shapes, axes, paddings in int64 → int32, which every kernel takes
void drop_idle_moves(Lowered& lowered);         // RESHAPE and TRANSPOSE: no-ops go, pairs become one
void drop_kept_axes(Lowered& lowered);          // RESHAPE behind a reduction that only takes its kept ones away
void merge_pads(Lowered& lowered);              // PAD of PAD → one PAD
void name_clamps(Lowered& lowered);             // MINIMUM/MAXIMUM with 0, 6, -1, 1 → RELU, RELU6, RELU_N1_TO_1
void fuse_activations(Lowered& lowered);        // a RELU into the option of the node before it
void share_equal_constants(Lowered& lowered);   // small constants by content, large ones by storage
void drop_dead(Lowered& lowered);               // nodes and tensors that no output needs

}  // namespace wherry
