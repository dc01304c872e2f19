// Float graphs with small weights: no calibration, every tensor between operators stays float32. What LiteRT runs:
//   dynamic       CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED take an int8 weight, a scale a channel, beside float activations,
//                 and quantize these at run time, row by row;
//   int8-weights  an int8 constant and a DEQUANTIZE before the operator, which computes in float;
//   int4          FULLY_CONNECTED takes int4 in blocks of 32 along its rows, as in dynamic; the other weights as in int8-weights.
// Tables of embeddings (GATHER of rows) become EMBEDDING_LOOKUP, which brings only the rows asked for to float: int8 with a scale a
// row, in int4 blocks of 32. A weight stays float32 where its scales would weigh more than it saves.
#pragma once

#include "ops/tfl.h"

#include <span>

namespace wherry {

void to_dynamic_range(TflGraph& graph);
void to_int8_weights(TflGraph& graph);
void to_int4_weights(TflGraph& graph);

inline constexpr int int4_block = 32;  // the least that XNNPACK takes

// Rows in blocks: codes in [-8, 7] and a float16 scale a block.
struct BlockCodes {
  Tensor codes;   // int4, of the weight's sizes
  Tensor scales;  // float16, [rows, row / int4_block]
};
// The scale of least squared error, held exactly by float16 and by bfloat16 (XNNPACK keeps seven bits of its fraction), never
// below float16's least normal; the codes are taken with the scale as it is stored. Needs: rows of whole blocks.
BlockCodes quantize_blocks(const Tensor& weight);

}  // namespace wherry
