// One side of a comparison: something that takes inputs and gives outputs, in the source's own axis order.
#pragma once

#include "base/diagnostics.h"
#include "ir/graph.h"
#include "ops/all_ops.h"

#include <filesystem>
#include <memory>

namespace wherry {

struct NamedType {
  std::string name;
  Type type;
};

class Side {
 public:
  virtual ~Side() = default;
  virtual std::string what() const = 0;                        // "fbnet_a.tflite in LiteRT"
  virtual std::string precision() const { return "float32"; }  // what it computes in, as `convert --precision` names it
  virtual std::vector<NamedType> inputs() const = 0;
  virtual std::vector<NamedType> outputs() const = 0;
  virtual std::vector<Tensor> run(const std::vector<Tensor>& inputs) = 0;

  // Every named intermediate value too, in execution order. Names are those of the source graph's values.
  struct Layer {
    std::string name;
    Tensor tensor;
  };
  virtual std::vector<Layer> run_layers(const std::vector<Tensor>& inputs) = 0;
};

// The source graph by the reference evaluator. `progress` is told of each node done.
using NodeProgress = std::function<void(int done, int total)>;
std::unique_ptr<Side> evaluator_side(const Graph& graph, const OpTable& ops, std::string what, NodeProgress progress = {});

// A .tflite file in LiteRT. Inputs and outputs are turned to the axis order of `like` (the other side), by the file's own record
// of its layout, or by their shapes where it has none. Integers that stand for reals are taken and given as the reals (float32).
std::unique_ptr<Side> litert_side(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs,
                                  const std::vector<NamedType>& like_outputs, int threads);

// A file of another framework in that framework, in a Python process of its own: .keras (`backend` tensorflow, jax or torch; "": the
// one installed), .onnx in ONNX Runtime, .pt2 in PyTorch. Axis order as above; E706 where Python or the framework is missing, E707
// for what the framework says.
std::unique_ptr<Side> python_side(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs,
                                  const std::vector<NamedType>& like_outputs, int threads, const std::string& backend = "");

}  // namespace wherry
