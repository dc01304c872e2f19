// What quantize/ asks of its surroundings, for tests: lowered graphs, LiteRT, and samples made of one.
#pragma once

#include "export/tflite/write_tflite.h"
#include "lower/lower_tfl.h"
#include "ops/all_ops.h"
#include "passes/pipeline.h"
#include "quantize/program.h"
#include "runtime/litert.h"

namespace wherry {

// As convert does it, with images channels first.
inline TflGraph lowered(const Graph& graph) {
  Diagnostics diagnostics;
  std::vector<PassRecord> records;
  Lowered out = lower_to_tfl(run_passes(graph, all_ops(), {}, records), all_ops(), {.io = Io::nchw}, diagnostics);
  diagnostics.throw_if_errors();
  return std::move(out.graph);
}

class TestProgram final : public Program {
 public:
  TestProgram(const TflGraph& graph, int threads) : model_(LiteRtModel::from_bytes(tflite_bytes(graph), "test", threads)) {}
  void run(std::span<const Tensor> inputs, const Look& look) override { model_->run(inputs, look); }

 private:
  std::unique_ptr<LiteRtModel> model_;
};

inline Loader litert() {
  return [](const TflGraph& graph, int threads) { return std::make_unique<TestProgram>(graph, threads); };
}

inline std::vector<Tensor> in_litert(const TflGraph& graph, std::span<const Tensor> inputs) {
  return LiteRtModel::from_bytes(tflite_bytes(graph), "test")->run(inputs);
}

// The inputs, and the same a little smaller: what an operator may take, it may still take.
inline Samples samples_like(const std::vector<Tensor>& inputs, std::size_t count = 4) {
  return {.count = count, .load = [inputs](std::size_t i) {
            std::vector<Tensor> out;
            for (const Tensor& input : inputs) {
              out.push_back(input);
              if (input.dtype() != DType::float32) continue;
              std::vector<float> values = input.to_floats();
              for (float& x : values) x *= 1 - 0.05F * static_cast<float>(i);
              out.back() = Tensor::from(values, input.sizes());
            }
            return out;
          }};
}

}  // namespace wherry
