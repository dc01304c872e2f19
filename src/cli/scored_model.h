// A model of any kind as something that gives scores for the samples of a data set.
#pragma once

#include "cli/load.h"
#include "data/inputs.h"
#include "verify/side.h"

namespace wherry {

struct ScoredModelOptions {
  LoadOptions load;
  std::optional<Preprocess> preprocess;  // instead of the model's own
  int threads = 2;                       // for all samples that run at once
  bool in_framework = false;             // a .pt2 in PyTorch itself
  std::string backend;                   // Keras's
};

class ScoredModel {
 public:
  virtual ~ScoredModel() = default;
  std::string name, what, precision = "float32";
  std::uintmax_t bytes = 0;
  std::optional<Inputs> inputs;
  std::vector<std::string> label_names;  // by the model's text; may be empty
  std::size_t outputs = 0;               // scores of a sample: elements of the first output

  // How samples share the threads: `lanes` of them run at once, each on `threads`.
  struct Crew {
    int lanes = 1, threads = 1;
    bool operator==(const Crew&) const = default;
  };
  virtual Crew crew() const = 0;
  // `lane` below crew().lanes; each lane is asked from one thread at a time.
  virtual std::vector<float> scores(const std::vector<Tensor>& inputs, int lane) = 0;
  // How long the crew took for a sample each; the model may choose another crew by that, and lanes then begin anew.
  virtual void took(const std::vector<double>& /*seconds*/) {}
  // The model for a comparison layer by layer, in the source's order of axes.
  virtual std::unique_ptr<Side> side(const Side* like) const = 0;
};

// .tflite in LiteRT, whose crew is the faster one of a runtime for each thread and one for two (a network whose layers' results fit two
// cores' caches, not one's, wants the latter); text, .pt2 and float files that Wherry reads in the reference evaluator; .keras and .onnx
// in their frameworks. The preprocessing is the option's, else the text's, else what a .tflite of Wherry's carries. What does
// not fit the data goes to `diagnostics` (E806, E807, E809).
std::unique_ptr<ScoredModel> open_scored_model(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                               const ScoredModelOptions& options, Diagnostics& diagnostics);

// Ports of a side, for Inputs.
std::vector<InputPort> input_ports(const std::vector<NamedType>& ports);

}  // namespace wherry
