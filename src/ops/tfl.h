// The TensorFlow Lite form of a graph: tfl.* nodes over channels-last tensors, before they are bytes.
// lower/ makes it through TflLowering, export/tflite writes it, quantize/ annotates it. It prints as text and is tested as text.
#pragma once

#include "ops/layout_lowering.h"

namespace wherry {

// The type in which a .tflite holds numbers of this one: itself, or one that holds them all where no kernel knows it.
DType tfl_type(DType dtype);

struct TflOption {
  std::string name;  // a field of the builtin's options table: "stride_w"
  Attr value;        // enum fields by word: "SAME", "RELU6"
};

// How integers stand for reals: real = scale * (q - zero_point). One scale for the whole tensor, one for each slice of `axis`, or,
// with a block size, one for each block of that many elements of a row (a matrix's last axis; the scales are a tensor then).
struct TflQuantization {
  std::vector<float> scales;
  std::vector<std::int64_t> zero_points;  // as many as scales
  int axis = 0;
  int block_size = 0;     // 0: not in blocks
  int block_scales = -1;  // the float16 tensor of the blocks' scales, [rows, row / block_size]
  bool operator==(const TflQuantization&) const = default;
};

struct TflTensor {
  std::string name;
  DType dtype = DType::float32;
  Sizes sizes;
  std::optional<Tensor> constant;
  std::optional<TflQuantization> quantization = {};
};

struct TflNode {
  std::string builtin;               // "CONV_2D"
  std::vector<int> inputs, outputs;  // tensors; -1: an optional input left out
  std::vector<TflOption> options;
  std::string path;  // of the node it comes from
  Source source;
  const TflOption* find(std::string_view option) const;
  TflOption* find(std::string_view option);
};

struct TflGraph {
  std::string name;
  std::vector<TflTensor> tensors;
  std::vector<TflNode> nodes;
  std::vector<Port> inputs, outputs;  // signature: names and tensors
};
// A readable listing, one line a node: conv = CONV_2D(x, w: float32[16, 3, 3, 3]) stride_w=2 -> float32[1, 112, 112, 16]
std::string text(const TflGraph& graph);

// The number of nodes of each builtin, by name.
std::map<std::string, int> count_builtins(const TflGraph& graph);

// What a tflite slot's lower() sees.
class TflLowering : public LayoutLowering {
 public:
  // Makes tensors and nodes.
  virtual int add(std::string_view builtin, std::vector<int> inputs, const Type& out, std::vector<TflOption> options = {}) = 0;
  virtual std::vector<int> add_multi(std::string_view builtin, std::vector<int> inputs, const std::vector<Type>& outs,
                                     std::vector<TflOption> options = {}) = 0;
  virtual const TflTensor& tensor(int id) = 0;
  virtual const TflNode* producer(int tensor) = 0;  // the node that makes it, or nullptr

 protected:
  explicit TflLowering(const Graph& g) : LayoutLowering(g) {}
};

}  // namespace wherry
