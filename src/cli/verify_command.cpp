// wherry verify A B: A is the reference.
#include "base/files.h"
#include "base/text.h"
#include "cli/convert.h"
#include "cli/inputs.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "ops/all_ops.h"
#include "runtime/evaluate.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct VerifyOptions {
  std::filesystem::path a, b, inputs;
  LoadOptions load;
  std::uint64_t random = 0;
  bool layers = false;
  bool in_framework = false;
  std::string backend;
  std::optional<double> tolerance;  // without: what the precision of B deserves
  int threads = 2;
};

// Files of other frameworks run in those frameworks, everything else by the reference evaluator.
std::unique_ptr<Side> open_side(const std::filesystem::path& file, const VerifyOptions& options, const Side* like, Progress& progress) {
  const std::vector<NamedType> inputs = like ? like->inputs() : std::vector<NamedType>{},
                               outputs = like ? like->outputs() : std::vector<NamedType>{};
  const FileKind kind = kind_of(file);
  if (kind == FileKind::tflite) return litert_side(file, inputs, outputs, options.threads);
  if (kind == FileKind::keras || kind == FileKind::onnx || kind == FileKind::python || options.in_framework) {
    progress.at("start " + file.filename().string(), 0, 0);
    return python_side(file, inputs, outputs, options.threads, options.backend);
  }
  const LoadedSource source = load_source(file, options.load);
  return evaluator_side(source.graph, all_ops(), file.filename().string(),
                        [&](int done, int total) { progress.at("verify", done, total); });
}

struct Sides {
  std::unique_ptr<Side> a, b;
};

// A file that may lie channels last is turned to fit the other: the other is opened first.
Sides open_sides(const VerifyOptions& options, Progress& progress) {
  const auto turns = [](FileKind kind) { return kind == FileKind::tflite || kind == FileKind::keras; };
  Sides sides;
  if (turns(kind_of(options.a)) && !turns(kind_of(options.b))) {
    sides.b = open_side(options.b, options, nullptr, progress);
    sides.a = open_side(options.a, options, sides.b.get(), progress);
  } else {
    sides.a = open_side(options.a, options, nullptr, progress);
    sides.b = open_side(options.b, options, sides.a.get(), progress);
  }
  return sides;
}

std::string table(const std::vector<LayerReport>& rows) {
  std::size_t width = 5;
  for (const LayerReport& row : rows) width = std::max(width, row.name.size());
  width = std::min<std::size_t>(width, 40);
  std::string out = fmt::format("  {:<{}}  {:>10}  {:>9}  {:>9}\n", "layer", width, "max error", "of scale", "SQNR dB");
  for (const LayerReport& row : rows) {
    const std::string name = row.name.size() <= width ? row.name : "…" + row.name.substr(row.name.size() - width + 1);
    out += fmt::format("{} {:<{}}  {:>10.2e}  {:>9.1e}  {:>9.1f}\n", row.match ? " " : "!", name, width, row.metrics.max_abs_error,
                       row.metrics.relative(), row.metrics.sqnr_db);
  }
  return out;
}

nlohmann::ordered_json rows_to_json(const std::vector<LayerReport>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const LayerReport& row : rows) {
    nlohmann::ordered_json j = {{"name", row.name}, {"match", row.match}};
    j.update(to_json(row.metrics));
    list.push_back(std::move(j));
  }
  return list;
}

// Every layer of an integer file differs: what matters is which differ most.
void worst_first(std::vector<LayerReport>& layers) {
  std::stable_sort(layers.begin(), layers.end(),
                   [](const LayerReport& a, const LayerReport& b) { return a.metrics.sqnr_db < b.metrics.sqnr_db; });
}

void run(Session& session, const VerifyOptions& options) {
  Progress progress(!session.json && !session.quiet);
  const auto [a, b] = open_sides(options, progress);
  const std::string precision = b->precision();
  const bool integer = precision != "float32" && precision != "float16";
  const double tolerance = options.tolerance.value_or(tolerance_of(precision));
  const std::vector<Tensor> inputs =
      options.inputs.empty() ? seeded_inputs(a->inputs(), options.random) : read_inputs(options.inputs, a->inputs());
  VerifyReport report = verify_sides(*a, *b, inputs, tolerance, options.layers);
  progress.clear();
  if (integer) worst_first(report.layers);
  if (session.json) {
    nlohmann::ordered_json j = {{"match", report.match}, {"precision", precision}, {"tolerance", report.tolerance}};
    j.update(to_json(report.worst));
    j["first_mismatch"] = report.first_mismatch.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(report.first_mismatch);
    j["outputs"] = rows_to_json(report.outputs);
    j["layers"] = rows_to_json(report.layers);
    session.print(j);
  } else {
    std::string text = fmt::format("{}  {} against {}\n", report.match ? "match" : "MISMATCH", b->what(), a->what());
    if (options.layers && report.layers.empty()) text += "  the sides have no layer's name in common; outputs alone:\n";
    text += table(options.layers && !report.layers.empty() ? report.layers : report.outputs);
    if (!report.first_mismatch.empty())
      text += fmt::format("first beyond {:.0e} of the scale: {}\n", report.tolerance, report.first_mismatch);
    text.pop_back();
    session.say(text);
  }
  if (!report.match) {
    session.warn({{.code = "E703",
                   .message = fmt::format("'{}' does not match '{}': {:.1e} of the scale where {:.0e} is allowed", options.b.string(),
                                          options.a.string(), report.worst.relative(), report.tolerance),
                   .next = options.layers ? "" : "--layers compares every layer"}});
    session.exit_code = mismatch;
  }
}

}  // namespace

void add_verify(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "verify", "Run two models on the same inputs and compare them",
                                  "  wherry verify fbnet_a.pt2 fbnet_a.tflite\n"
                                  "  wherry verify fbnet_a.yaml fbnet_a.tflite --layers\n"
                                  "  wherry verify fbnet_a.tflite fbnet_a.int8.tflite --layers\n"
                                  "  wherry verify fbnet_a.pt2 fbnet_a.keras --backend jax\n"
                                  "  wherry verify a.pt2 b.yaml --inputs samples.npz --tolerance 1e-5 --json");
  auto options = std::make_shared<VerifyOptions>();
  command->add_option("a", options->a, "The reference: .pt2, text, .tflite, .keras or .onnx")->required()->type_name("A");
  command->add_option("b", options->b, "What is compared with it")->required()->type_name("B");
  command->add_option("--inputs", options->inputs, "Inputs by name, or in order")->type_name("F.npz");
  command->add_option("--random", options->random, "Seed of random inputs (default 0)")->type_name("N")->excludes("--inputs");
  command->add_flag("--layers", options->layers, "Compare every layer");
  command->add_option("--tolerance", options->tolerance, "Error allowed, of max|output|")->type_name("X");
  command->add_flag("--in-framework", options->in_framework, "Run a .pt2 in PyTorch itself");
  command->add_option("--backend", options->backend, "Keras's: tensorflow, jax or torch")
      ->check(CLI::IsMember({"tensorflow", "jax", "torch"}).description(""))
      ->type_name("NAME");
  command->add_option("--threads", options->threads, "Threads of the runtime")->check(CLI::Range(1, 64).description(""))->type_name("N");
  add_load_options(*command, options->load);
  command->callback([&session, options] { run(session, *options); });
}

}  // namespace wherry
