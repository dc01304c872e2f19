// The ONNX form of a graph, before it is bytes: lower/ makes it through OnnxLowering, export/onnx writes it; and what the onnx slots
// share to read foreign nodes. A slot's `op` names the opset that brought it where that is above the oldest written: "Mish-18".
#pragma once

#include "ops/foreign.h"

#include <set>

namespace wherry {

inline constexpr int oldest_onnx_opset = 13, newest_onnx_opset = 28;  // that are written
inline constexpr int default_onnx_opset = 26;                         // the newest released that ONNX Runtime 1.32 knows

struct OnnxTensor {
  std::string name;
  std::optional<Tensor> constant;
};

struct OnnxNode {
  std::string op, name;
  std::vector<int> inputs, outputs;                      // tensors; -1: an optional input left out
  std::vector<std::pair<std::string, Attr>> attributes;  // in name order
};

struct OnnxGraph {
  std::string name;
  int opset = default_onnx_opset;
  std::vector<OnnxTensor> tensors;
  std::vector<OnnxNode> nodes;
  std::vector<std::pair<int, Type>> inputs, outputs;
};

// What an onnx_out slot's lower() sees.
class OnnxLowering {
 public:
  using Attributes = std::vector<std::pair<std::string, Attr>>;
  const Graph& graph;
  const int opset;

  int operator[](ValueId value) const { return value == absent ? -1 : tensors_[static_cast<std::size_t>(value)]; }
  // Tensors that the model does not name: numbers like axes and shapes. `role` completes the name.
  int constant(Tensor tensor, std::string_view role = "constant");
  int ints(const Ints& values, std::string_view role);
  int scalar(double value, DType dtype) { return constant(Tensor::scalar(value, dtype)); }
  // Adds an operator of ONNX's own domain. An attribute that is None is left out.
  int add(std::string_view op, std::vector<int> inputs, Attributes attributes = {}) {
    return multi(op, std::move(inputs), 1, std::move(attributes))[0];
  }
  std::vector<int> multi(std::string_view op, std::vector<int> inputs, std::size_t outputs, Attributes attributes = {});
  // The values as tensors of one type: a constant takes that of the other.
  std::vector<int> same_type(const std::vector<ValueId>& values);
  void give(ValueId output, int tensor);  // says what stands for the node's output; each tensor that add() made once
  [[noreturn]] void refuse(const Node& node, const std::string& reason) const;  // E202

  OnnxLowering(const Graph& g, OnnxGraph& target);
  void input(const Port& port);
  void lower(const Node& node);
  void output(const Port& port);

 private:
  std::string unique(std::string wanted);
  int add_tensor(std::string name, std::optional<Tensor> constant);
  OnnxGraph& target_;
  std::vector<int> tensors_;  // by value
  std::set<std::string, std::less<>> names_, node_names_;
  const Node* node_ = nullptr;
};

// The slot's operator without its opset, and that opset (0: any).
std::pair<std::string_view, int> onnx_since(const OnnxSlot& slot);

namespace ops::onnx {

// Foreign nodes' inputs by position.
inline ValueId in(const ForeignNode& node, int index) { return node.value(std::to_string(index)); }
ValueId required(const ForeignNode& node, int index);  // E203 where it is missing
std::vector<ValueId> inputs(const ForeignNode& node);  // all that are given
// What must be known when the model is read: attribute `name` (older opsets) or the constant input `index`; nothing where neither is
// given, E203 where the model computes it.
const Tensor* fixed(Builder& b, const ForeignNode& node, int index, std::string_view name);
std::optional<Ints> fixed_ints(Builder& b, const ForeignNode& node, int index, std::string_view name);
std::optional<Floats> fixed_numbers(Builder& b, const ForeignNode& node, int index, std::string_view name);
std::optional<double> fixed_number(Builder& b, const ForeignNode& node, int index, std::string_view name);
DType dtype(const ForeignNode& node, std::string_view attribute);  // E203 where ONNX's number has no meaning here
std::optional<DType> dtype_of(std::int64_t number);  // ONNX's number for an element type; nothing where it has no meaning here
std::string element_name(std::int64_t number);       // as ONNX calls it
std::int64_t number_of(DType dtype);
Sizes static_shape(Builder& b, const ForeignNode& node, ValueId value);  // E504 with the open dimensions' names
std::int64_t rank(Builder& b, ValueId value);

// auto_pad and pads as before and after of each axis.
std::vector<std::pair<std::int64_t, std::int64_t>> padding(Builder& b, const ForeignNode& node, const Ints& kernel, const Ints& stride,
                                                           const Ints& dilation);

// x op y op z …
template <Word op>
std::vector<ValueId> convert_chain(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> all = inputs(node);
  if (all.empty()) refuse(node, "'" + node.target + "' of nothing");
  ValueId y = all[0];
  for (std::size_t i = 1; i < all.size(); ++i) y = b(op, {y, all[i]});
  return {all.size() == 1 ? b("identity", {y}) : y};
}

}  // namespace ops::onnx
}  // namespace wherry
