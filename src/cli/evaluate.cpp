#include "cli/evaluate.h"

#include "base/text.h"
#include "ir/text/read_model.h"
#include "quantize/program.h"
#include "verify/verify.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <numeric>

namespace wherry {

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::optional<Preprocess> record_of(const std::filesystem::path& text, Diagnostics& diagnostics) {
  if (text.empty()) return std::nullopt;
  const Model model = read_model(text, library_folders(), diagnostics);
  std::optional<Preprocess> record = read_preprocess(model, diagnostics);
  if (!record) diagnostics.add({.code = "E809", .message = fmt::format("'{}' has no 'preprocess'", text.string())});
  diagnostics.throw_if_errors();
  return record;
}

// All samples through all models; what is kept of a sample does not grow with the number of classes.
class Run {
 public:
  Run(const EvaluateOptions& options, std::vector<std::unique_ptr<ScoredModel>>& models, std::shared_ptr<const Dataset> data,
      std::optional<std::size_t> reference)
      : options_(options), models_(models), data_(std::move(data)), reference_(reference), prepared_(data_->size()) {
    for (std::size_t m = 0; m < models.size(); ++m) traces_.push_back(std::vector<Trace>(data_->size()));
  }

  void all() {
    for (std::size_t first = 0; first < data_->size(); first += chunk) {
      held_.assign(std::min(chunk, data_->size() - first), {});
      first_ = first;
      each(options_.model.threads, [&](std::size_t i, Held& held, int) {
        const auto begin = Clock::now();
        if (data_->holds_images()) held.decoded = data_->image(i);
        prepared_[i] = since(begin);
      });
      for (std::size_t m = 0; m < models_.size(); ++m) run(m);
    }
    refuse();
  }

  struct Trace {
    TopFive top;
    Distance distance;
    double seconds = 0, margin = 0;
    ScoredModel::Crew crew;
  };
  const std::vector<Trace>& traces(std::size_t model) const { return traces_[model]; }
  double prepared_seconds() const { return std::accumulate(prepared_.begin(), prepared_.end(), 0.0); }

 private:
  // Samples that are taken together: all are decoded on all threads, then all run, in crews of threads as the model likes.
  static constexpr std::size_t chunk = 32;

  // What is kept of a sample until its chunk is done.
  struct Held {
    std::optional<Image> decoded;
    std::vector<std::pair<const Preprocess*, Image>> fitted;  // by geometry
    std::vector<Tensor> inputs;                               // of the model that runs next
    std::vector<float> expected;                              // the reference's scores
    bool refused = false;
  };

  // Calls f(sample, held, thread) for each sample of the chunk that is not refused.
  void each(int threads, const std::function<void(std::size_t, Held&, int)>& f) {
    parallel_for(held_.size(), threads, [&](std::size_t k, int thread) {
      if (held_[k].refused) return;
      try {
        f(first_ + k, held_[k], thread);
      } catch (const Failure& failure) {
        held_[k].refused = true;
        const std::scoped_lock hold(lock_);
        for (const Diagnostic& d : failure.diagnostics()) refused_.emplace_back(first_ + k, d);
      }
    });
  }

  void run(std::size_t m) {
    ScoredModel& model = *models_[m];
    each(options_.model.threads, [&](std::size_t i, Held& held, int) {
      const auto begin = Clock::now();
      held.inputs = inputs_of(*model.inputs, i, held.decoded, held.fitted);
      prepared_[i] += since(begin) / static_cast<double>(models_.size());
    });
    const ScoredModel::Crew crew = model.crew();
    each(crew.lanes, [&](std::size_t i, Held& held, int lane) {
      Trace& trace = traces_[m][i];
      const auto begin = Clock::now();
      const std::vector<float> scores = model.scores(held.inputs, lane);
      trace.seconds = since(begin), trace.crew = crew;
      trace.top = top_five(scores);
      if (trace.top.classes[1] != TopFive::none)
        trace.margin = static_cast<double>(scores[trace.top.classes[0]] - scores[trace.top.classes[1]]);
      if (reference_ == m) held.expected = scores;
      if (reference_ && !held.expected.empty()) trace.distance = distance(held.expected, scores);
      if (!options_.progress) return;
      const std::scoped_lock hold(lock_);
      options_.progress("evaluate", static_cast<double>(++done_) / static_cast<double>(models_.size()), static_cast<double>(data_->size()));
    });
    std::vector<double> seconds;
    for (std::size_t k = 0; k < held_.size(); ++k)
      if (!held_[k].refused) seconds.push_back(traces_[m][first_ + k].seconds);
    model.took(seconds);
  }

  std::vector<Tensor> inputs_of(const Inputs& inputs, std::size_t i, const std::optional<Image>& decoded,
                                std::vector<std::pair<const Preprocess*, Image>>& fitted) const {
    if (!inputs.from_images()) return inputs.load(i);
    const Preprocess& wanted = *inputs.preprocess();
    for (const auto& [record, image] : fitted)
      if (same_geometry(*record, wanted)) return {inputs.from_image(image)};
    return {inputs.from_image(fitted.emplace_back(&wanted, inputs.fitted(*decoded, i)).second)};
  }

  // Every sample that could not be used, in the data's order.
  void refuse() {
    if (refused_.empty()) return;
    std::stable_sort(refused_.begin(), refused_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    constexpr std::size_t shown = 20;
    Diagnostics all;
    for (std::size_t i = 0; i < std::min(refused_.size(), shown); ++i) all.add(refused_[i].second);
    if (refused_.size() > shown)
      all.add({.code = refused_[shown].second.code,
               .message = fmt::format("{} more samples of {} cannot be used", refused_.size() - shown, data_->size())});
    all.throw_if_errors();
  }

  const EvaluateOptions& options_;
  std::vector<std::unique_ptr<ScoredModel>>& models_;
  std::shared_ptr<const Dataset> data_;
  std::optional<std::size_t> reference_;
  std::vector<std::vector<Trace>> traces_;  // by model, sample
  std::vector<double> prepared_;
  std::vector<std::pair<std::size_t, Diagnostic>> refused_;
  std::vector<Held> held_;
  std::size_t first_ = 0, done_ = 0;  // of the chunk; runs
  std::mutex lock_;
};

// The crew that took most samples.
ScoredModel::Crew main_crew(const std::vector<Run::Trace>& traces) {
  const auto taken = [&](const ScoredModel::Crew& crew) {
    return std::count_if(traces.begin(), traces.end(), [&](const Run::Trace& t) { return t.crew == crew; });
  };
  const ScoredModel::Crew first = traces.front().crew, last = traces.back().crew;
  return taken(last) > taken(first) ? last : first;
}

ModelScore score_of(const ScoredModel& model, const std::vector<Run::Trace>& traces, const std::vector<Run::Trace>* reference,
                    const std::optional<Truth>& truth) {
  const ScoredModel::Crew crew = main_crew(traces);
  ModelScore score{.name = model.name,
                   .what = model.what,
                   .precision = model.precision,
                   .bytes = model.bytes,
                   .is_reference = reference == &traces,
                   .threads = crew.threads};
  if (truth) score.top1 = score.top5 = 0;
  if (reference && !score.is_reference) score.agreement_top1 = score.agreement_top5 = 0;
  std::vector<Distance> distances;
  for (std::size_t i = 0; i < traces.size(); ++i) {
    const TopFive& top = traces[i].top;
    if (traces[i].crew == crew) score.latency_ms.push_back(1e3 * traces[i].seconds);
    const std::optional<std::size_t> wanted = truth ? std::optional(truth->of_samples[i]) : std::nullopt;
    if (wanted) *score.top1 += top.first() == *wanted ? 1 : 0, *score.top5 += top.holds(*wanted) ? 1 : 0;
    if (!score.agreement_top1) continue;
    const std::size_t expected = (*reference)[i].top.first();
    *score.agreement_top1 += top.first() == expected ? 1 : 0, *score.agreement_top5 += top.holds(expected) ? 1 : 0;
    distances.push_back(traces[i].distance);
    if (top.first() != expected) score.flips.push_back({i, expected, top.first(), wanted, (*reference)[i].margin});
  }
  if (score.agreement_top1) score.distance = summarise(distances);
  return score;
}

// Mean over a few samples of each layer's SQNR against the reference's.
std::vector<std::pair<std::string, double>> layers_of(const ScoredModel& reference, const ScoredModel& model,
                                                      const std::shared_ptr<const Dataset>& data, const EvaluateOptions& options) {
  constexpr std::size_t samples = 4;
  constexpr double equal_db = 140;  // what float32 can tell apart; stands for layers that are equal
  const std::unique_ptr<Side> a = reference.side(nullptr), b = model.side(a.get());
  const auto few = data->evenly(samples);
  Diagnostics known;  // said when the models were opened
  const Inputs inputs(few, input_ports(a->inputs()), reference.inputs->preprocess(), known);
  std::vector<std::pair<std::string, double>> layers;
  for (std::size_t i = 0; i < few->size(); ++i) {
    if (options.progress) options.progress("layers of " + model.name, static_cast<double>(i), static_cast<double>(few->size()));
    const VerifyReport report = verify_sides(*a, *b, inputs.load(i), 1, true);
    if (layers.empty())
      for (const LayerReport& layer : report.layers) layers.emplace_back(layer.name, 0);
    for (std::size_t k = 0; k < layers.size(); ++k)
      layers[k].second += std::min(report.layers[k].metrics.sqnr_db, equal_db) / static_cast<double>(few->size());
  }
  return layers;
}

void require_same_outputs(const std::vector<std::unique_ptr<ScoredModel>>& models, Diagnostics& diagnostics) {
  for (const auto& model : models)
    if (model->outputs != models[0]->outputs)
      diagnostics.add(
          {.code = "E705",
           .message = fmt::format("'{}' gives {} scores, '{}' {}", model->name, model->outputs, models[0]->name, models[0]->outputs),
           .next = "evaluate models of the same classes together"});
}

void find_order_of(EvaluateResult& result, const std::vector<Run::Trace>& traces, const Truth& truth, std::size_t outputs) {
  std::vector<std::size_t> predicted;
  for (const Run::Trace& trace : traces) predicted.push_back(trace.top.first());
  result.order = find_order(truth.of_samples, predicted, result.classes, outputs);
  if (!result.order) return;
  result.warnings.push_back(
      {.code = "E808",
       .message = fmt::format("the labels and the model's outputs are in different orders: {} ; then top-1 would be {:.1f} %",
                              result.order->order, 100 * result.order->accuracy),
       .next = "give --labels a table whose 'class' column counts as the model's outputs do",
       .severity = Severity::warning});
}

}  // namespace

EvaluateResult evaluate(const EvaluateOptions& options) {
  EvaluateResult result;
  Diagnostics diagnostics;
  result.data = Dataset::open(options.data)->evenly(options.limit);
  result.count = result.data->size();
  result.threads = options.model.threads;

  ScoredModelOptions model_options = options.model;
  model_options.preprocess = record_of(options.preprocess, diagnostics);
  std::vector<std::filesystem::path> files = options.models;
  if (!options.reference.empty()) {
    std::erase(files, options.reference);
    files.insert(files.begin(), options.reference);
  }
  std::vector<std::unique_ptr<ScoredModel>> models;
  for (const std::filesystem::path& file : files) {
    if (options.progress) options.progress("open " + file.filename().string(), 0, 0);
    models.push_back(open_scored_model(file, result.data, model_options, diagnostics));
    if (result.classes.names.empty()) result.classes.names = models.back()->label_names;
  }
  require_same_outputs(models, diagnostics);
  const std::size_t outputs = models[0]->outputs;
  const LabelFiles label_files = [&] {
    LabelFiles read = read_label_files(options.labels, *result.data, outputs, diagnostics);
    if (read.classes.size() == 0 && result.classes.size() == outputs) read.classes = result.classes;
    return read;
  }();
  if (label_files.classes.size() != 0) result.classes = label_files.classes;
  const std::optional<Truth> truth = find_truth(*result.data, label_files, outputs, diagnostics);
  diagnostics.throw_if_errors();
  if (truth) result.labels_from = truth->from;

  const std::optional<std::size_t> reference = models.size() > 1 ? std::optional<std::size_t>(0) : std::nullopt;
  Run run(options, models, result.data, reference);
  const auto begin = Clock::now();
  run.all();
  result.seconds = since(begin);
  for (std::size_t m = 0; m < models.size(); ++m) {
    ModelScore& score =
        result.models.emplace_back(score_of(*models[m], run.traces(m), reference ? &run.traces(*reference) : nullptr, truth));
    const auto busy_threads = [](double sum, const Run::Trace& trace) { return sum + trace.seconds * trace.crew.threads; };
    const double busy = std::accumulate(run.traces(m).begin(), run.traces(m).end(), run.prepared_seconds(), busy_threads);
    score.images_per_second = models.size() == 1 ? static_cast<double>(result.count) / result.seconds
                                                 : static_cast<double>(result.count) * result.threads / std::max(busy, 1e-9);
    if (options.layers && reference && m != *reference) score.layers = layers_of(*models[*reference], *models[m], result.data, options);
  }
  if (truth) find_order_of(result, run.traces(0), *truth, outputs);
  result.warnings.insert(result.warnings.end(), diagnostics.all().begin(), diagnostics.all().end());
  return result;
}

}  // namespace wherry
