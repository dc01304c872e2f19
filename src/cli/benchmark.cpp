#include "cli/benchmark.h"

#include "base/process.h"
#include "cli/load.h"
#include "data/score.h"
#include "quantize/program.h"
#include "runtime/evaluate.h"
#include "runtime/litert.h"
#include "runtime/quantized_values.h"
#include "tflite_schema/read_tfl_graph.h"

#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <chrono>

namespace wherry {

namespace {

using Clock = std::chrono::steady_clock;
double milliseconds(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

std::vector<Tensor> inputs_of(const LiteRtModel& model) {
  std::vector<Type> types;
  for (const TensorInfo& info : model.inputs()) types.push_back(info.type);
  return seeded_tensors(types, 0);
}

// In a child, so that nothing else counts: a forked process begins with its parent's memory as it is, not as it was at its peak.
double peak_of(const std::filesystem::path& file) {
  int ends[2];
  if (::pipe(ends) != 0) return 0;
  const pid_t child = ::fork();
  if (child == 0) {
    double grown = -1;
    try {
      const double before = peak_rss_mb();
      const auto model = LiteRtModel::from_file(file, 1);
      model->run(inputs_of(*model));
      grown = peak_rss_mb() - before;
    } catch (const std::exception&) {  // said by the parent, which opens the file too
    }
    const bool told = ::write(ends[1], &grown, sizeof grown) == sizeof grown;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  double grown = 0;
  if (child < 0 || ::read(ends[0], &grown, sizeof grown) != sizeof grown) grown = 0;
  ::close(ends[0]);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return grown;
}

LatencyReport open_timed(const std::filesystem::path& file, int threads, std::unique_ptr<LiteRtModel>& model, std::vector<Tensor>& inputs) {
  LatencyReport report{.threads = threads};
  const auto load = Clock::now();
  model = LiteRtModel::from_file(file, threads);
  report.load_ms = milliseconds(load);
  inputs = inputs_of(*model);
  const auto first = Clock::now();
  model->run(inputs);
  report.first_ms = milliseconds(first);
  return report;
}

// All files take turns, in rotating order: a machine that slows down slows them alike.
void take_turns(const BenchmarkOptions& options, int threads, std::vector<ModelBenchmark>& results) {
  const std::size_t count = options.models.size();
  std::vector<std::unique_ptr<LiteRtModel>> models(count);
  std::vector<std::vector<Tensor>> inputs(count);
  std::vector<LatencyReport> reports;
  for (std::size_t m = 0; m < count; ++m) reports.push_back(open_timed(options.models[m], threads, models[m], inputs[m]));
  for (int turn = 0; turn < options.turns; ++turn) {
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t m = (k + static_cast<std::size_t>(turn)) % count;
      std::vector<double> laps;
      for (int run = 0; run < options.runs; ++run) {
        const auto begin = Clock::now();
        models[m]->run(inputs[m], [](std::size_t, const Tensor&) {});
        laps.push_back(milliseconds(begin));
      }
      reports[m].turn_ms.push_back(percentile(laps, 0.5));
      reports[m].run_ms.insert(reports[m].run_ms.end(), laps.begin(), laps.end());
    }
    if (options.progress) options.progress(fmt::format("{} threads", threads), turn + 1, options.turns);
  }
  for (std::size_t m = 0; m < count; ++m) {
    std::vector<double> quotients;
    for (std::size_t turn = 0; turn < reports[m].turn_ms.size(); ++turn)
      quotients.push_back(reports[m].turn_ms[turn] / reports[0].turn_ms[turn]);
    reports[m].quotient = percentile(quotients, 0.5);
  }
  for (std::size_t m = 0; m < count; ++m) results[m].latencies.push_back(std::move(reports[m]));
}

// As many runtimes as threads, each with one thread and inputs of its own.
double throughput(const std::filesystem::path& file, int threads, int runs) {
  std::vector<std::unique_ptr<LiteRtModel>> models;
  for (int i = 0; i < threads; ++i) models.push_back(LiteRtModel::from_file(file, 1));
  const std::vector<Tensor> inputs = inputs_of(*models[0]);
  for (const auto& model : models) model->run(inputs);
  const auto all = static_cast<std::size_t>(runs * threads);
  const auto begin = Clock::now();
  parallel_for(all, threads,
               [&](std::size_t, int worker) { models[static_cast<std::size_t>(worker)]->run(inputs, [](std::size_t, const Tensor&) {}); });
  return static_cast<double>(all) / milliseconds(begin) * 1e3;
}

std::vector<OperatorShare> operators_of(const std::filesystem::path& file, int runs) {
  const auto model = LiteRtModel::from_file(file, 1, true);
  const std::vector<Tensor> inputs = inputs_of(*model);
  std::map<std::string, OperatorShare> by_name;
  for (const OperatorTime& time : model->profile(inputs, runs)) {
    OperatorShare& share = by_name[time.name];
    share.name = time.name, share.count += 1, share.ms += time.milliseconds;
  }
  std::vector<OperatorShare> list;
  for (auto& [name, share] : by_name) {
    share.count /= runs, share.ms /= runs;
    list.push_back(share);
  }
  std::stable_sort(list.begin(), list.end(), [](const OperatorShare& a, const OperatorShare& b) { return a.ms > b.ms; });
  return list;
}

}  // namespace

std::vector<ModelBenchmark> benchmark(const BenchmarkOptions& options) {
  std::vector<ModelBenchmark> results;
  for (const std::filesystem::path& file : options.models) {
    if (kind_of(file) != FileKind::tflite)
      fail({.code = "E107",
            .message = fmt::format("'{}' is no .tflite file", file.string()),
            .next = "convert it first: wherry convert SRC -o OUT.tflite"});
    results.push_back({.name = file.filename().string(),
                       .precision = {},
                       .bytes = std::filesystem::file_size(file),
                       .peak_mb = peak_of(file),
                       .latencies = {},
                       .operators = {}});
  }
  for (std::size_t m = 0; m < results.size(); ++m) results[m].precision = precision_of(read_tfl_graph(options.models[m]).graph);
  for (const int threads : options.threads) {
    take_turns(options, threads, results);
    for (std::size_t m = 0; m < results.size(); ++m)
      results[m].latencies.back().per_second = throughput(options.models[m], threads, options.turns * options.runs);
  }
  for (std::size_t m = 0; m < results.size(); ++m) results[m].operators = operators_of(options.models[m], options.turns);
  return results;
}

nlohmann::ordered_json to_json(const std::vector<ModelBenchmark>& models) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ModelBenchmark& model : models) {
    nlohmann::ordered_json j = {{"model", model.name}, {"precision", model.precision}, {"bytes", model.bytes}, {"peak_mb", model.peak_mb}};
    j["threads"] = nlohmann::ordered_json::array();
    for (const LatencyReport& l : model.latencies)
      j["threads"].push_back({{"threads", l.threads},
                              {"load_ms", l.load_ms},
                              {"first_ms", l.first_ms},
                              {"median_ms", percentile(l.run_ms, 0.5)},
                              {"p90_ms", percentile(l.run_ms, 0.9)},
                              {"quotient", l.quotient},
                              {"per_second", l.per_second}});
    j["operators"] = nlohmann::ordered_json::array();
    for (const OperatorShare& o : model.operators) j["operators"].push_back({{"name", o.name}, {"count", o.count}, {"ms", o.ms}});
    list.push_back(std::move(j));
  }
  return {{"models", list}};
}

}  // namespace wherry
