// Graph (PyTorch's meaning, channels first) → TflGraph (channels last). One walk: every value keeps the order in which its
// axes lie, so that transposes appear only where an operator's meaning forces one.
#pragma once

#include "base/diagnostics.h"
#include "ops/tfl.h"

namespace wherry {

enum class Io { nhwc, nchw };  // the layout of rank-4 float inputs and outputs; all others keep the source's order

// How an input or output lies: axis i of the source's is axis order[i] of the file's.
std::vector<int> io_order(const Type& type, Io io);

// A source value that the file computes: where it lies and how (axis i of the value is axis order[i] of the tensor).
struct TflTap {
  ValueId value;
  std::string name;
  int tensor;
  std::vector<int> order;
  // By channel: the value is factors · the tensor + offsets (quantize/adjust/channel_maps.h).
  std::vector<float> factors = {}, offsets = {};
};

struct Lowered {
  TflGraph graph;
  std::vector<TflTap> taps;  // in execution order, inputs first
};

struct TflLowerOptions {
  Io io = Io::nhwc;
};

// Operators that TensorFlow Lite cannot express are all collected (E202) before anything is lost.
Lowered lower_to_tfl(const Graph& graph, const OpTable& ops, const TflLowerOptions& options, Diagnostics& diagnostics);

// Stores float32 weights as float16 behind a DEQUANTIZE each. Warns (E404 as a warning) where a weight leaves float16's range.
void to_float16(TflGraph& graph, Diagnostics& diagnostics);

}  // namespace wherry
