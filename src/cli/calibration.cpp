#include "cli/calibration.h"

#include "base/files.h"
#include "base/version.h"
#include "data/inputs.h"
#include "data/labels.h"
#include "export/tflite/write_tflite.h"
#include "ir/text/read_model.h"
#include "ir/text/write_tree.h"
#include "runtime/litert.h"
#include "verify/provenance.h"

#include <mutex>

namespace wherry {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t few = 16;

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

std::optional<Model> describing_text(const LoadedSource& source, const ConvertOptions& options) {
  if (options.preprocess.empty()) return source.model;
  Diagnostics diagnostics;
  Model model = read_model(options.preprocess, library_folders(), diagnostics);
  diagnostics.throw_if_errors();
  return model;
}

namespace {

// Images as bytes after the record's geometry: decoding and resizing cost more than all that follows, and samples are asked for
// several times. What does not fit is made anew.
class ImageMemory {
 public:
  explicit ImageMemory(std::size_t count) : images_(count) {}
  std::shared_ptr<const Image> get(const Inputs& inputs, std::size_t i) {
    {
      const std::scoped_lock hold(lock_);
      if (images_[i]) return images_[i];
    }
    auto image = std::make_shared<const Image>(inputs.fitted(inputs.dataset().image(i), i));
    const std::scoped_lock hold(lock_);
    constexpr std::size_t most_bytes = std::size_t{96} << 20;
    if (!images_[i] && bytes_ + image->rgb.size() <= most_bytes) bytes_ += (images_[i] = image)->rgb.size();
    return image;
  }

 private:
  std::mutex lock_;
  std::vector<std::shared_ptr<const Image>> images_;
  std::size_t bytes_ = 0;
};

Samples samples_for(std::shared_ptr<const Dataset> dataset, std::vector<InputPort> ports, const LoadedSource& source,
                    const ConvertOptions& options, Diagnostics& diagnostics) {
  std::optional<Preprocess> preprocess;
  if (const std::optional<Model> text = describing_text(source, options)) preprocess = read_preprocess(*text, diagnostics);
  const auto inputs = std::make_shared<Inputs>(std::move(dataset), std::move(ports), preprocess, diagnostics);
  diagnostics.throw_if_errors();
  if (!inputs->from_images()) return {.count = inputs->size(), .load = [inputs](std::size_t i) { return inputs->load(i); }};
  const auto memory = std::make_shared<ImageMemory>(inputs->size());
  return {.count = inputs->size(),
          .load = [inputs, memory](std::size_t i) { return std::vector<Tensor>{inputs->from_image(*memory->get(*inputs, i))}; }};
}

}  // namespace

Samples source_samples(const LoadedSource& source, const ConvertOptions& options, std::size_t count, Diagnostics& diagnostics) {
  std::vector<InputPort> ports;
  for (const Port& port : source.graph.inputs)
    ports.push_back({.name = port.name, .type = source.graph.type(port.value), .channels_last = false, .scale = {}});
  return samples_for(Dataset::open(options.calibrate)->evenly(count), std::move(ports), source, options, diagnostics);
}

namespace {

fs::path cache_folder() {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache && fs::path(cache).is_absolute()) return fs::path(cache) / "wherry";
  return home && fs::path(home).is_absolute() ? fs::path(home) / ".cache" / "wherry" : fs::path();
}

// In the samples' order, which what is kept refers to.
std::string identity(const Dataset& dataset) {
  if (!dataset.all_arrays().empty()) return fmt::format("{} {}", hash_bytes(MappedFile::open(dataset.path())->text()), dataset.size());
  std::string rows;
  std::error_code error;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const fs::path file = fs::absolute(dataset.sample(i).file, error);
    rows +=
        fmt::format("{} {} {}\n", file.string(), fs::file_size(file, error), fs::last_write_time(file, error).time_since_epoch().count());
  }
  return hash_bytes(rows);
}

}  // namespace

std::shared_ptr<const StatisticsCache> statistics_cache(const LoadedSource& source, const ConvertOptions& options) {
  const fs::path folder = cache_folder();
  const std::optional<LiteRtLibrary> runtime = find_litert();
  if (!options.cache || folder.empty() || !runtime || runtime->version.empty()) return nullptr;
  std::string data = fmt::format("wherry {} litert {} {} of {}: ", version, runtime->version, identity(*Dataset::open(options.calibrate)),
                                 options.calibration_count);
  TextValue record;
  record.kind = TextValue::map;
  if (const std::optional<Model> text = describing_text(source, options)) record.members.emplace_back("preprocess", text->preprocess);
  return std::make_shared<StatisticsCache>(folder, data + json_text(record));
}

Samples calibration_samples(const LoadedSource& source, const TflGraph& graph, const ConvertOptions& options, Diagnostics& diagnostics) {
  if (options.calibrate.empty())
    fail({.code = "E801",
          .message =
              fmt::format("--precision {} measures the activations' ranges, and has no data to do so", name(options.precision.value())),
          .next = "--calibrate DATA: 100 to 500 typical images, as a folder, a list, an .npy or .npz"});
  std::shared_ptr<const Dataset> dataset = Dataset::open(options.calibrate);
  if (options.calibration_count > 0) dataset = dataset->evenly(options.calibration_count);
  if (dataset->size() < few)
    diagnostics.add({.code = "E801",
                     .message = fmt::format("'{}' has {} sample(s): ranges from so few do not hold for others", options.calibrate.string(),
                                            dataset->size()),
                     .next = "give 100 or more",
                     .severity = Severity::warning});
  std::vector<InputPort> ports;
  for (const Port& port : graph.inputs) {
    const TflTensor& tensor = graph.tensors[static_cast<std::size_t>(port.value)];
    const bool image = tensor.sizes.size() == 4 && options.io.value_or(Io::nhwc) == Io::nhwc;
    ports.push_back({.name = port.name, .type = {tensor.dtype, to_shape(tensor.sizes)}, .channels_last = image, .scale = {}});
  }
  return samples_for(std::move(dataset), std::move(ports), source, options, diagnostics);
}

std::vector<int> calibration_labels(const TflGraph& graph, const ConvertOptions& options, Diagnostics& diagnostics) {
  std::shared_ptr<const Dataset> dataset = Dataset::open(options.calibrate);
  if (options.calibration_count > 0) dataset = dataset->evenly(options.calibration_count);
  const auto outputs = static_cast<std::size_t>(graph.tensors[static_cast<std::size_t>(graph.outputs.at(0).value)].sizes.back());
  const LabelFiles files = read_label_files(options.labels, *dataset, outputs, diagnostics);
  const std::optional<Truth> truth = find_truth(*dataset, files, outputs, diagnostics);
  diagnostics.throw_if_errors();
  if (!truth)
    fail({.code = "E808",
          .message = fmt::format("a target of top1 needs to know the classes of '{}', and nothing tells them", options.calibrate.string()),
          .next = "--labels TABLE.tsv, or ask for agreement, which needs none"});
  return {truth->of_samples.begin(), truth->of_samples.end()};
}

}  // namespace wherry
