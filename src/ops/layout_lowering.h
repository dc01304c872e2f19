// What the lowering to every channels-last target has in common: a source value has a tensor of the target (a number) and an order
// of its axes: axis i of the source value is axis order[i] of the tensor, so that permutes cost nothing until an operator needs a
// certain order.
#pragma once

#include "ir/op_def.h"

namespace wherry {

class LayoutLowering {
 public:
  virtual ~LayoutLowering() = default;
  const Graph& graph;

  // The tensor of a value with its axes in the order wanted; a transpose (or reshape, where it only moves ones) is added at need.
  virtual int source_order(ValueId value) = 0;   // as the source has it
  virtual int channels_last(ValueId value) = 0;  // [N, C, spatial…] as [N, spatial…, C]
  virtual int in_order(ValueId value, const std::vector<int>& order) = 0;
  virtual const std::vector<int>& order(ValueId value) = 0;  // as it stands now
  virtual int as_is(ValueId value) = 0;                      // the tensor in that order, nothing added
  // Values that broadcast together, all brought into one order (channels last if one of them is), which `order` tells. Lower
  // ranks get leading ones, constant scalars the data type of the others; an absent value stays -1.
  virtual std::vector<int> same_order(const std::vector<ValueId>& values, std::vector<int>& order) = 0;

  virtual int constant(Tensor tensor, std::string name = {}) = 0;

  // Says what stands for the node's output: a tensor and the order of its axes.
  virtual void give_source_order(ValueId output, int tensor) = 0;
  virtual void give_channels_last(ValueId output, int tensor) = 0;
  virtual void give(ValueId output, int tensor, std::vector<int> order) = 0;

  // [N, spatial…, C] order of a value of this rank: rank 4 → {0, 3, 1, 2}.
  static std::vector<int> channels_last_order(int rank);
  [[noreturn]] virtual void refuse(const Node& node, const std::string& reason) = 0;  // E202 with path, types and next step

 protected:
  explicit LayoutLowering(const Graph& g) : graph(g) {}
};

}  // namespace wherry
