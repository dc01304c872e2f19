#include "cli/scored_model.h"

#include "base/files.h"
#include "data/score.h"
#include "ops/all_ops.h"
#include "runtime/litert.h"
#include "runtime/quantized_values.h"
#include "tflite_schema/read_tfl_graph.h"
#include "tflite_schema/tflite_model.h"
#include "verify/provenance.h"

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
    tried_.push_back({.crew = {.lanes = options.threads, .threads = 1}});
    if (options.threads > 1) tried_.push_back({.crew = {.lanes = options.threads / 2, .threads = 2}});
    man(tried_[0]);
    what = "LiteRT", precision = precision_of(tfl.graph);
    std::optional<Preprocess> preprocess = options.preprocess;
    if (const auto text = tfl.metadata.find(std::string(tflite_provenance)); !preprocess && text != tfl.metadata.end())
      if (const std::optional<Provenance> provenance = parse_provenance(text->second))
        preprocess = parse_preprocess(provenance->preprocess);
    std::vector<InputPort> ports;
    for (const TensorInfo& info : runtimes_[0]->inputs()) {
      InputPort port{.name = info.name, .type = info.type, .channels_last = is_channels_last(info.type.shape), .scale = {}};
      if (const auto q = quantization(tfl.graph, tfl.graph.inputs, info); q && q->scales.size() == 1)
        port.scale = q->scales[0], port.zero_point = q->zero_points.empty() ? 0 : q->zero_points[0];
      ports.push_back(std::move(port));
    }
    const TensorInfo& first = runtimes_[0]->outputs().at(0);
    output_ = quantization(tfl.graph, tfl.graph.outputs, first);
    outputs = static_cast<std::size_t>(element_count(sizes(first.type.shape)));
    inputs.emplace(dataset, std::move(ports), std::move(preprocess), diagnostics);
  }

  Crew crew() const override { return crew_; }

  std::vector<float> scores(const std::vector<Tensor>& tensors, int lane) override {
    const Tensor result = runtimes_[static_cast<std::size_t>(lane)]->run(tensors).at(0);
    return as_scores(output_ ? dequantize(result, *output_) : result);
  }

  std::unique_ptr<Side> side(const Side* like) const override {
    return litert_side(file_, like ? like->inputs() : std::vector<NamedType>{}, like ? like->outputs() : std::vector<NamedType>{},
                       options_.threads);
  }

  // The median, so that the first run of a runtime does not count.
  void took(const std::vector<double>& seconds) override {
    constexpr std::size_t enough = 8;
    if (seconds.size() < enough || chosen_) return;
    const auto trial = std::find_if(tried_.begin(), tried_.end(), [&](const Trial& t) { return t.crew == crew_; });
    trial->seconds = percentile(seconds, 0.5) / crew_.lanes;
    const auto untried = std::find_if(tried_.begin(), tried_.end(), [](const Trial& t) { return t.seconds == 0; });
    chosen_ = untried == tried_.end();
    man(chosen_ ? *std::min_element(tried_.begin(), tried_.end(), [](const Trial& a, const Trial& b) { return a.seconds < b.seconds; })
                : *untried);
  }

 private:
  struct Trial {
    Crew crew;
    double seconds = 0;  // between samples; 0: not known yet
  };

  void man(const Trial& trial) {
    if (trial.crew == crew_ && !runtimes_.empty()) return;
    crew_ = trial.crew;
    runtimes_.clear();
    for (int i = 0; i < crew_.lanes; ++i) runtimes_.push_back(LiteRtModel::from_file(file_, crew_.threads));
  }

  static std::optional<TflQuantization> quantization(const TflGraph& graph, const std::vector<Port>& ports, const TensorInfo& info) {
    const auto port = std::find_if(ports.begin(), ports.end(), [&](const Port& p) { return p.name == info.name; });
    if (port == ports.end()) return std::nullopt;
    const auto& q = graph.tensors[static_cast<std::size_t>(port->value)].quantization;
    return stands_for_reals(info.type.dtype, q) ? q : std::nullopt;
  }

  std::filesystem::path file_;
  ScoredModelOptions options_;
  std::vector<Trial> tried_;
  bool chosen_ = false;
  Crew crew_;
  std::vector<std::unique_ptr<LiteRtModel>> runtimes_;
  std::optional<TflQuantization> output_;
};

// Anything that runs as a Side, one for each lane.
class SideModel final : public ScoredModel {
 public:
  using Open = std::function<std::unique_ptr<Side>(const Side* like)>;
  SideModel(const Open& open, int sides, const std::shared_ptr<const Dataset>& dataset, std::optional<Preprocess> preprocess,
            Diagnostics& diagnostics)
      : open_(open) {
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

  Crew crew() const override { return {.lanes = static_cast<int>(sides_.size()), .threads = 1}; }

  std::vector<float> scores(const std::vector<Tensor>& tensors, int lane) override {
    return as_scores(sides_[static_cast<std::size_t>(lane)]->run(tensors).at(0));
  }

  std::unique_ptr<Side> side(const Side* like) const override { return open_(like); }

 private:
  Open open_;
  std::vector<std::unique_ptr<Side>> sides_;
};

std::unique_ptr<ScoredModel> open_foreign(const std::filesystem::path& file, const std::shared_ptr<const Dataset>& dataset,
                                          const ScoredModelOptions& options, Diagnostics& diagnostics) {
  const auto open = [file, options](const Side* like) {
    const std::vector<NamedType> none;
    return python_side(file, like ? like->inputs() : none, like ? like->outputs() : none, options.threads, options.backend);
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
  auto model = std::make_unique<SideModel>(open, options.threads, dataset, std::move(preprocess), diagnostics);
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
