// A plan as people see it: the text's `quantization` section (docs/format.md) and the file of codes beside it.
#pragma once

#include "ir/model.h"
#include "ir/weights.h"
#include "quantize/adjust/channel_maps.h"
#include "quantize/apply.h"
#include "quantize/plan.h"

namespace wherry {

// All that makes the integer graph of a float one.
struct WrittenPlan {
  DType activations = DType::int8;  // of nodes whose row says nothing else
  ChannelMaps channels;             // of the tensors whose channels were changed first
  Plan plan;                        // of the graph behind that
  ApplyOptions apply;
};

// What the section tells beside it, for people.
struct PlanNotes {
  TextValue by;                        // a map: how the plan was made
  std::map<int, std::string> weights;  // by node: who decided the codes
  bool channels_last = true;           // the layout of images at inputs and outputs
};

// Each tensor's name in the section: its own; of equal names the second is "name#2".
std::vector<std::string> section_names(const TflGraph& graph);

// `graph` is the float one, before its channels are changed; `codes` the name of the file that codes_of() fills.
TextValue plan_to_text(const TflGraph& graph, const WrittenPlan& written, const PlanNotes& notes, const std::string& codes);
Weights codes_of(const TflGraph& graph, const WrittenPlan& written);

// What must be known before the rest is read: the precision ("int8", "int16x8"), the file of codes, the layout of images. E811.
struct PlanHead {
  std::string precision, codes;
  bool channels_last = true;
};
PlanHead plan_head(const Model& model, Diagnostics& diagnostics);

// What the section and its codes say, with every fault (E811) at its place. Needs: plan_head() found none.
WrittenPlan plan_from_text(const TflGraph& graph, const Model& model, const Weights& codes, Diagnostics& diagnostics);

}  // namespace wherry
