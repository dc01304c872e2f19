#include "cli/scored_model.h"

#include "base/files.h"
#include "ops/all_ops.h"
#include "runtime/litert.h"
#include "runtime/quantized_values.h"
#include "tflite_schema/read_tfl_graph.h"
#include "tflite_schema/tflite_model.h"
#include "verify/provenance.h"

#include <mutex>

namespace wherry {

namespace {

bool is_channels_last(const Shape& shape) { return shape.size() == 4 && shape[3] == Dim(3) && shape[1] != Dim(3); }

std::vector<float> as_scores(const Tensor& tensor) {
  const Tensor floats = tensor.contiguous().cast(DType::float32);
  const auto values = floats.as<float>();
  return {values.begin(), values.end()};
}

class TfliteModel final : public ScoredModel {
 public:
  TfliteModel(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset, const ScoredModelOptions& options,
              Diagnostics& diagnostics)
      : file_(file), options_(options) {
    const TflFile tfl = read_tfl_graph(file);
    for (int i = 0; i < options.workers; ++i) workers_.push_back(LiteRtModel::from_file(file, 1));
    what = "LiteRT", precision = precision_of(tfl.graph);
    std::optional<Preprocess> preprocess = options.preprocess;
    if (const auto text = tfl.metadata.find(std::string(tflite_provenance)); !preprocess && text != tfl.metadata.end())
      if (const std::optional<Provenance> provenance = parse_provenance(text->second))
        preprocess = parse_preprocess(provenance->preprocess);
    std::vector<InputPort> ports;
    for (const TensorInfo& info : workers_[0]->inputs()) {
      InputPort port{.name = info.name, .type = info.type, .channels_last = is_channels_last(info.type.shape), .scale = {}};
      if (const auto q = quantization(tfl.graph, tfl.graph.inputs, info); q && q->scales.size() == 1)
        port.scale = q->scales[0], port.zero_point = q->zero_points.empty() ? 0 : q->zero_points[0];
      ports.push_back(std::move(port));
    }
    const TensorInfo& first = workers_[0]->outputs().at(0);
    output_ = quantization(tfl.graph, tfl.graph.outputs, first);
    outputs = static_cast<std::size_t>(element_count(sizes(first.type.shape)));
    inputs.emplace(dataset, std::move(ports), std::move(preprocess), diagnostics);
  }

  std::vector<float> scores(const std::vector<Tensor>& tensors, int worker) override {
    const Tensor result = workers_[static_cast<std::size_t>(worker)]->run(tensors).at(0);
    return as_scores(output_ ? dequantize(result, *output_) : result);
  }

  std::unique_ptr<Side> side(const Side* like) const override {
    return litert_side(file_, like ? like->inputs() : std::vector<NamedType>{}, like ? like->outputs() : std::vector<NamedType>{},
                       options_.workers);
  }

 private:
  static std::optional<TflQuantization> quantization(const TflGraph& graph, const std::vector<Port>& ports, const TensorInfo& info) {
    const auto port = std::find_if(ports.begin(), ports.end(), [&](const Port& p) { return p.name == info.name; });
    if (port == ports.end()) return std::nullopt;
    const auto& q = graph.tensors[static_cast<std::size_t>(port->value)].quantization;
    return stands_for_reals(info.type.dtype, q) ? q : std::nullopt;
  }

  std::filesystem::path file_;
  ScoredModelOptions options_;
  std::vector<std::unique_ptr<LiteRtModel>> workers_;
  std::optional<TflQuantization> output_;
};

// Anything that runs as a Side: each worker has its own, or all share one.
class SideModel final : public ScoredModel {
 public:
  using Open = std::function<std::unique_ptr<Side>(const Side* like)>;
  SideModel(const Open& open, int sides, const std::shared_ptr<const Dataset>& dataset, std::optional<Preprocess> preprocess,
            Diagnostics& diagnostics)
      : open_(open), locks_(static_cast<std::size_t>(sides)) {
    for (int i = 0; i < sides; ++i) sides_.push_back(open(nullptr));
    what = sides_[0]->what(), precision = sides_[0]->precision();
    const Type output = sides_[0]->outputs().at(0).type;
    for (const auto& ports : {sides_[0]->inputs(), sides_[0]->outputs()})
      for (const NamedType& port : ports)
        if (!is_static(port.type.shape))
          fail({.code = "E504",
                .message = fmt::format("{}: '{}' is {}", what, port.name, text(port.type)),
                .next = "give its dimensions sizes: --dim NAME=1"});
    outputs = static_cast<std::size_t>(element_count(sizes(output.shape)));
    inputs.emplace(dataset, input_ports(sides_[0]->inputs()), std::move(preprocess), diagnostics);
  }

  std::vector<float> scores(const std::vector<Tensor>& tensors, int worker) override {
    const std::size_t place = static_cast<std::size_t>(worker) % sides_.size();
    const std::scoped_lock hold(locks_[place]);
    return as_scores(sides_[place]->run(tensors).at(0));
  }

  std::unique_ptr<Side> side(const Side* like) const override { return open_(like); }

 private:
  Open open_;
  std::vector<std::mutex> locks_;
  std::vector<std::unique_ptr<Side>> sides_;
};

std::unique_ptr<ScoredModel> open_foreign(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                          const ScoredModelOptions& options, Diagnostics& diagnostics) {
  const auto open = [file, options](const Side* like) {
    const std::vector<NamedType> none;
    return python_side(file, like ? like->inputs() : none, like ? like->outputs() : none, options.workers, options.backend);
  };
  return std::make_unique<SideModel>(open, 1, dataset, options.preprocess, diagnostics);
}

std::unique_ptr<ScoredModel> open_source(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                         const ScoredModelOptions& options, Diagnostics& diagnostics) {
  const auto source = std::make_shared<LoadedSource>(load_source(file, options.load));
  const auto open = [source](const Side*) { return evaluator_side(source->graph, all_ops(), "the reference evaluator"); };
  std::optional<Preprocess> preprocess = options.preprocess;
  std::vector<std::string> names;
  if (source->model) {
    if (!preprocess) preprocess = read_preprocess(*source->model, diagnostics);
    Diagnostics unneeded;  // names are for reading only
    names = read_labels(*source->model, library_folders(), unneeded);
  }
  auto model = std::make_unique<SideModel>(open, options.workers, dataset, std::move(preprocess), diagnostics);
  model->label_names = std::move(names);
  return model;
}

}  // namespace

std::vector<InputPort> input_ports(const std::vector<NamedType>& ports) {
  std::vector<InputPort> list;
  for (const NamedType& port : ports)
    list.push_back({.name = port.name, .type = port.type, .channels_last = is_channels_last(port.type.shape), .scale = {}});
  return list;
}

std::unique_ptr<ScoredModel> open_scored_model(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                               const ScoredModelOptions& options, Diagnostics& diagnostics) {
  const FileKind kind = kind_of(file);
  std::unique_ptr<ScoredModel> model;
  if (kind == FileKind::tflite)
    model = std::make_unique<TfliteModel>(file, dataset, options, diagnostics);
  else if (kind == FileKind::keras || kind == FileKind::onnx || (kind == FileKind::pt2 && options.in_framework))
    model = open_foreign(file, dataset, options, diagnostics);
  else
    model = open_source(file, dataset, options, diagnostics);
  model->name = file.filename().string();
  std::error_code error;
  model->bytes = std::filesystem::file_size(file, error);
  return model;
}

}  // namespace wherry
