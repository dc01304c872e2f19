// wherry benchmark MODEL…
#include "cli/benchmark.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "data/score.h"

#include <fmt/format.h>

namespace wherry {

namespace {

std::string shortened(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

std::string table(const std::vector<ModelBenchmark>& models) {
  std::size_t width = 5;
  for (const ModelBenchmark& m : models) width = std::max(width, std::min<std::size_t>(m.name.size(), 22));
  std::string out = fmt::format("{:<{}} {:>3} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7}\n", "model", width, "thr", "load ms", "first", "median",
                                "p90", "quot.", "runs/s");
  for (const ModelBenchmark& m : models)
    for (const LatencyReport& l : m.latencies)
      out += fmt::format("{:<{}} {:>3} {:>7.1f} {:>7.2f} {:>7.2f} {:>7.2f} {:>6.3f} {:>7.1f}\n", shortened(m.name, width), width, l.threads,
                         l.load_ms, l.first_ms, percentile(l.run_ms, 0.5), percentile(l.run_ms, 0.9), l.quotient, l.per_second);
  for (const ModelBenchmark& m : models) {
    out += fmt::format("\n{}: {}, {:.2f} MB, {:.1f} MB at its peak\n", m.name, m.precision, static_cast<double>(m.bytes) / 1e6, m.peak_mb);
    double all = 0;
    for (const OperatorShare& o : m.operators) all += o.ms;
    constexpr std::size_t shown = 6;
    for (std::size_t i = 0; i < std::min(m.operators.size(), shown); ++i)
      out += fmt::format("  {:<46} {:>4} {:>8.3f} ms {:>5.1f} %\n", shortened(m.operators[i].name, 46), m.operators[i].count,
                         m.operators[i].ms, all > 0 ? 100 * m.operators[i].ms / all : 0);
  }
  out.pop_back();
  return out;
}

}  // namespace

void add_benchmark(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "benchmark", "Time .tflite files, taking turns",
                                  "  wherry benchmark fbnet_a.tflite\n"
                                  "  wherry benchmark ours.tflite theirs.tflite --threads 1 2\n"
                                  "  wherry benchmark a.tflite a.int8.tflite --turns 50 --json");
  auto options = std::make_shared<BenchmarkOptions>();
  command->add_option("models", options->models, "The files; quotients are of the first")->required()->type_name("MODEL.tflite");
  command->add_option("--threads", options->threads, "Threads of the runtime; several are measured one by one (default 1 2)")
      ->check(CLI::Range(1, 64).description(""))
      ->type_name("N…");
  command->add_option("--turns", options->turns, "Turns of each file (default 20)")
      ->check(CLI::Range(1, 100000).description(""))
      ->type_name("N");
  command->add_option("--runs", options->runs, "Runs in a turn (default 5)")->check(CLI::Range(1, 100000).description(""))->type_name("N");
  command->callback([&session, options] {
    Progress progress(!session.json && !session.quiet);
    options->progress = [&](const std::string& stage, double done, double total) { progress.at(stage, done, total); };
    const std::vector<ModelBenchmark> models = benchmark(*options);
    progress.clear();
    if (session.json)
      session.print(to_json(models));
    else
      session.say(table(models));
  });
}

}  // namespace wherry
