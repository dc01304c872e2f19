// What can be said about a model's text without expanding it: names, required arguments, references, circles.
#pragma once

#include "ir/op_def.h"
#include "ir/text/faults.h"

namespace wherry {

struct CheckedModel {
  std::set<const Layer*> faulty;  // not to be expanded
  bool circular = false;          // blocks contain themselves: nothing can be expanded
};

// Faults: E302, E303, E304, E306, E307. Every block is looked at, used or not.
CheckedModel check_model(const Model& model, const OpTable& ops, TextFaults& faults);

// How a layer's `inputs` stand for those of its operator.
struct InputPlan {
  std::vector<int> slots;           // the operator's input behind each; a variadic one may repeat
  std::size_t least = 0, most = 0;  // how many must and can be given without parameters
};
InputPlan plan_inputs(const OpDef& op, std::size_t given);

}  // namespace wherry
