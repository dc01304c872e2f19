// Runs two sides on the same inputs and compares what comes out; with layers, everything in between too.
#pragma once

#include "verify/metrics.h"
#include "verify/side.h"

namespace wherry {

struct LayerReport {
  std::string name;
  Metrics metrics;
  bool match = true;
};

struct VerifyReport {
  bool match = true;
  double tolerance = 0;  // of max|reference|: what was asked
  Metrics worst;         // over all outputs
  std::vector<LayerReport> outputs;
  std::vector<LayerReport> layers;  // those that both sides name, in the reference's order; empty unless asked for
  std::string first_mismatch;       // the first layer (or output) beyond the tolerance; "" : none
};

// Fails with E705 when the sides' inputs or outputs differ in number or shape.
VerifyReport verify_sides(Side& reference, Side& other, const std::vector<Tensor>& inputs, double tolerance, bool layers);

// The tolerance that a precision deserves: of max|output|.
double tolerance_of(std::string_view precision);

}  // namespace wherry
