// Which integers a model gets: decided by calibration data, or as its text's `quantization` says.
#pragma once

#include "cli/stages.h"
#include "quantize/text/plan_text.h"

namespace wherry {

struct DecidedPlan {
  WrittenPlan written;
  PlanNotes notes;  // of what data decided
  Quantized quantized;
  std::optional<MixedResult> mixed;  // with an accuracy target
};

// The text has a section and nothing asks for another: no data, no other precision.
bool uses_section(const LoadedSource& source, const ConvertOptions& options);
// Precision and layout where the options leave them open.
ConvertOptions with_section(const LoadedSource& source, ConvertOptions options);

// Passes and lowering, then the plan for what came out. E803, E804, E811 and the data's own faults.
Lowered lowered_for_integers(const LoadedSource& source, const ConvertOptions& options, Diagnostics& diagnostics);
DecidedPlan decide_plan(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Stages& stages,
                        Diagnostics& diagnostics);

// The file of codes that the text names.
std::filesystem::path codes_file(const Model& model, const PlanHead& head);

}  // namespace wherry
