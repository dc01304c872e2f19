// A model of any kind as something that gives scores for the samples of a data set.
#pragma once

#include "cli/load.h"
#include "data/inputs.h"
#include "verify/side.h"

namespace wherry {

struct ScoredModelOptions {
  LoadOptions load;
  std::optional<Preprocess> preprocess;  // instead of the model's own
  int workers = 2;                       // threads that will ask for scores
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

  // `worker` below options.workers; each worker asks from one thread at a time.
  virtual std::vector<float> scores(const std::vector<Tensor>& inputs, int worker) = 0;
  // The model for a comparison layer by layer, in the source's order of axes.
  virtual std::unique_ptr<Side> side(const Side* like) const = 0;
};

// .tflite in LiteRT, one runtime for each worker; text, .pt2 and float files that Wherry reads in the reference evaluator; .keras and
// .onnx in their frameworks. The preprocessing is the option's, else the text's, else what a .tflite of Wherry's carries. What does
// not fit the data goes to `diagnostics` (E806, E807, E809).
std::unique_ptr<ScoredModel> open_scored_model(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                               const ScoredModelOptions& options, Diagnostics& diagnostics);

// Ports of a side, for Inputs.
std::vector<InputPort> input_ports(const std::vector<NamedType>& ports);

}  // namespace wherry
