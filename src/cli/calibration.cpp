#include "cli/calibration.h"

#include "export/tflite/write_tflite.h"
#include "import/npy.h"
#include "lower/lower_tfl.h"
#include "runtime/litert.h"

namespace wherry {

namespace {

class LiteRtProgram final : public Program {
 public:
  LiteRtProgram(const TflGraph& graph, int threads) : model_(LiteRtModel::from_bytes(tflite_bytes(graph), graph.name, threads)) {}
  void run(std::span<const Tensor> inputs, const Look& look) override { model_->run(inputs, look); }

 private:
  std::unique_ptr<LiteRtModel> model_;
};

}  // namespace

Loader litert_loader() {
  return [](const TflGraph& graph, int threads) { return std::make_unique<LiteRtProgram>(graph, threads); };
}

Samples calibration_samples(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Diagnostics&) {
  auto arrays = std::make_shared<std::vector<NamedArray>>(read_npz(options.calibrate));
  const Tensor all = arrays->at(0).tensor;
  const std::vector<int> order = io_order(source.graph.type(source.graph.inputs[0].value), options.io.value_or(Io::nhwc));
  std::vector<int> axes(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) axes[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  (void)graph;
  return {.count = static_cast<std::size_t>(all.sizes()[0]), .load = [all, axes, arrays](std::size_t i) {
            const Sizes sizes = {1, all.sizes()[1], all.sizes()[2], all.sizes()[3]};
            const Tensor one(all.dtype(), sizes, all.strides(),
                             all.data() + i * static_cast<std::size_t>(all.strides()[0]) * byte_size(all.dtype()), arrays);
            return std::vector<Tensor>{one.permuted(axes).contiguous()};
          }};
}

}  // namespace wherry
