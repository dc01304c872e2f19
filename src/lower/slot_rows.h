// What slots that are rows of pairs have in common, whatever their target.
#pragma once

#include "base/diagnostics.h"
#include "ir/graph.h"
#include "lower/axes.h"
#include "ops/layout_lowering.h"

#include <string>
#include <vector>

namespace wherry {

struct SlotPair {
  std::string name;
  Attr value;
  std::string attribute = {};  // that it is, unchanged
};

// "alpha=negative_slope axis=dim fused_activation_function=#NONE": an attribute's value, the axis as the tensors lie (`order`), or a
// literal.
std::vector<SlotPair> slot_pairs(const Node& node, std::string_view pairs, const Order& order);

// A row's inputs brought into the order that the operator's layout rule asks for, and the types of its outputs in that order.
struct LaidOut {
  std::vector<int> inputs;
  std::vector<Type> outs;
  std::optional<Order> order;  // of the outputs; none: the source's own
  Order of_first;              // what an axis attribute is mapped by
};
LaidOut lay_out(LayoutLowering& lower, const Node& node);
void give_laid_out(LayoutLowering& lower, const Node& node, const std::vector<int>& made, const LaidOut& laid);

// E202: the operator, where it stands, what goes in, and the next step.
Diagnostic refusal(const Graph& graph, const Node& node, std::string_view target, std::string_view slot, const std::string& reason);

}  // namespace wherry
