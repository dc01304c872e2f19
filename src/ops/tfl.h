// The TensorFlow Lite form of a graph: tfl.* nodes over channels-last tensors, before they are bytes.
// lower/ makes it through TflLowering, export/tflite writes it, quantize/ annotates it. It prints as text and is tested as text.
#pragma once

#include "ir/op_def.h"

namespace wherry {

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

// What a tflite slot's lower() sees. Every source value has a tensor and an order of its axes: axis i of the source value is
// axis order[i] of the tensor, so that permutes cost nothing until an operator needs a certain order.
class TflLowering {
 public:
  virtual ~TflLowering() = default;
  const Graph& graph;

  // The tensor of input i with its axes in the order wanted; a TRANSPOSE (or RESHAPE, where it only moves ones) is added at need.
  virtual int source_order(ValueId value) = 0;   // as the source has it
  virtual int channels_last(ValueId value) = 0;  // [N, C, spatial…] as [N, spatial…, C]
  virtual int in_order(ValueId value, const std::vector<int>& order) = 0;
  virtual const std::vector<int>& order(ValueId value) = 0;  // as it stands now
  virtual int as_is(ValueId value) = 0;                      // the tensor in that order, nothing added
  // Values that broadcast together, all brought into one order (channels last if one of them is), which `order` tells. Lower
  // ranks get leading ones, constant scalars the data type of the others; an absent value stays -1.
  virtual std::vector<int> same_order(const std::vector<ValueId>& values, std::vector<int>& order) = 0;

  // Makes tensors and nodes.
  virtual int constant(Tensor tensor, std::string name = {}) = 0;
  virtual int add(std::string_view builtin, std::vector<int> inputs, const Type& out, std::vector<TflOption> options = {}) = 0;
  virtual std::vector<int> add_multi(std::string_view builtin, std::vector<int> inputs, const std::vector<Type>& outs,
                                     std::vector<TflOption> options = {}) = 0;
  virtual const TflTensor& tensor(int id) = 0;
  virtual const TflNode* producer(int tensor) = 0;  // the node that makes it, or nullptr

  // Says what stands for the node's output: a tensor and the order of its axes.
  virtual void give_source_order(ValueId output, int tensor) = 0;
  virtual void give_channels_last(ValueId output, int tensor) = 0;
  virtual void give(ValueId output, int tensor, std::vector<int> order) = 0;

  // [N, spatial…, C] order of a value of this rank: rank 4 → {0, 3, 1, 2}.
  static std::vector<int> channels_last_order(int rank);
  [[noreturn]] virtual void refuse(const Node& node, const std::string& reason) = 0;  // E202 with path, types and next step

 protected:
  explicit TflLowering(const Graph& g) : graph(g) {}
};

}  // namespace wherry
