// wherry compare SRC: every target of one model on the same inputs, as one table.
#include "base/files.h"
#include "base/text.h"
#include "cli/calibration.h"
#include "cli/inputs.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "ops/all_ops.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

namespace wherry {

namespace fs = std::filesystem;

namespace {

struct Target {
  std::string_view name, suffix;
  std::string_view backend = "";  // Keras's
  std::string_view to = "";       // of a .py
};
constexpr Target targets[] = {
    {"tflite", ".tflite"},
    {"onnx", ".onnx"},
    {"keras:tensorflow", ".keras", "tensorflow"},
    {"keras:jax", ".keras", "jax"},
    {"keras:torch", ".keras", "torch"},
    {"keras:source", ".py", "", "keras"},
    {"torch", ".py", "", "torch"},
    {"jax", ".py", "", "jax"},
};

struct CompareOptions {
  ConvertOptions convert;
  std::vector<std::string> targets;
  std::uint64_t random = 0;
  std::size_t samples = 0;  // of --data, evenly spread; 0: all
  double tolerance = 1e-4;
};

struct Row {
  std::string target, runtime, trouble, next;  // trouble: why it was not run, and what to do about that
  Metrics metrics;
  std::size_t samples = 0, agreed = 0;
  bool classes = false;  // the first output is one row of scores
  double seconds = 0;    // of running, all samples
};

// A folder for the files that are compared, gone afterwards.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "wherry-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      fail({.code = "E601", .message = "cannot make a temporary folder", .next = "set TMPDIR to a folder that you may write to"});
    path_ = name;
  }
  ~Folder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

const Target& target_of(const std::string& name) {
  std::vector<std::string> names;
  for (const Target& target : targets) {
    if (target.name == name) return target;
    names.emplace_back(target.name);
  }
  fail({.code = "E901",
        .message = fmt::format("'{}' is no target{}", name, did_you_mean(name, names)),
        .next = fmt::format("the targets: {}", join(names, ", "))});
}

bool one_row_of_scores(const Tensor& tensor) { return tensor.rank() == 2 && tensor.sizes()[0] == 1 && tensor.sizes()[1] > 1; }

std::int64_t best(const Tensor& scores) {
  const std::vector<float> values = scores.contiguous().to_floats();
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// The same file serves all backends of Keras.
fs::path written(const Target& target, const CompareOptions& options, const Folder& folder) {
  const fs::path out = folder.path() / fmt::format("{}{}", target.to.empty() ? "model" : target.to, target.suffix);
  if (fs::exists(out)) return out;
  ConvertOptions convert_options = options.convert;
  convert_options.out = out;
  convert_options.to = target.to;
  convert_options.verify = false;
  convert(convert_options);
  return out;
}

std::unique_ptr<Side> open_target(const Target& target, const fs::path& file, const Side& reference, int threads) {
  if (target.suffix == ".tflite") return litert_side(file, reference.inputs(), reference.outputs(), threads);
  return python_side(file, reference.inputs(), reference.outputs(), threads, std::string(target.backend));
}

using Outputs = std::vector<std::vector<Tensor>>;  // by sample

Outputs run_all(Side& side, const Samples& samples, const std::function<void(std::size_t)>& progress) {
  Outputs outputs;
  for (std::size_t i = 0; i < samples.count; ++i) {
    outputs.push_back(side.run(samples.load(i)));
    progress(i + 1);
  }
  return outputs;
}

void judge(Row& row, const Outputs& expected, const Outputs& found) {
  row.samples = expected.size();
  row.classes = !expected.empty() && one_row_of_scores(expected[0].at(0));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    for (std::size_t k = 0; k < expected[i].size(); ++k) {
      const Metrics metrics = compare(expected[i][k], found[i].at(k));
      row.metrics = i + k == 0 ? metrics : worst(row.metrics, metrics);
    }
    if (row.classes && best(expected[i][0]) == best(found[i][0])) ++row.agreed;
  }
}

Row compare_target(const Target& target, const CompareOptions& options, const Folder& folder, const Side& reference, const Samples& samples,
                   const Outputs& expected, Progress& progress) {
  Row row{.target = std::string(target.name)};
  try {
    progress.at(fmt::format("{}: write and start", target.name));
    const std::unique_ptr<Side> side = open_target(target, written(target, options, folder), reference, options.convert.threads);
    const std::string what = side->what();
    row.runtime = what.substr(what.find(" in ") + 4);
    const auto begin = std::chrono::steady_clock::now();
    const Outputs found = run_all(
        *side, samples, [&](std::size_t done) { progress.at(row.target, static_cast<double>(done), static_cast<double>(samples.count)); });
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    judge(row, expected, found);
  } catch (const Failure& failure) {
    const Diagnostic& first = failure.diagnostics().front();
    row.trouble = fmt::format("{}: {}", first.code, first.message);
    row.next = first.next;
    const std::string within = folder.path().string() + "/";  // which is gone when this is read
    for (std::size_t at = 0; (at = row.trouble.find(within)) != std::string::npos;) row.trouble.erase(at, within.size());
    if (failure.diagnostics().size() > 1) row.trouble += fmt::format(" ({} more)", failure.diagnostics().size() - 1);
  }
  return row;
}

constexpr std::size_t columns = 80;

// Words in rows that fit a terminal, each behind `indent` columns. A word that is longer is broken.
std::string wrapped(const std::string& words, std::size_t indent) {
  std::string out;
  std::size_t width = columns;
  std::vector<std::string> pieces;
  for (const std::string& word : split(words, ' '))
    for (std::size_t at = 0; at < word.size(); at += columns - indent) pieces.push_back(word.substr(at, columns - indent));
  for (const std::string& word : pieces) {
    if (width + 1 + word.size() > columns) {
      out += "\n" + std::string(indent, ' ');
      width = indent;
    } else {
      out += ' ';
      ++width;
    }
    out += word, width += word.size();
  }
  return out.substr(1 + indent);
}

std::string table(const std::vector<Row>& rows, const CompareOptions& options) {
  std::string out = fmt::format("  {:<16} {:<26} {:>8} {:>7} {:>9} {:>7}\n", "target", "run by", "of scale", "SQNR dB", "cosine", "top-1");
  for (const Row& row : rows) {
    if (!row.trouble.empty()) {
      out += fmt::format("- {:<16} {}\n", row.target, wrapped("not run: " + row.trouble, 19));
      if (!row.next.empty()) out += fmt::format("{:19}{}\n", "", wrapped("try  " + row.next, 19));
      continue;
    }
    const std::string agreement =
        row.classes ? fmt::format("{:.1f} %", 100.0 * static_cast<double>(row.agreed) / static_cast<double>(row.samples)) : "";
    out += fmt::format("{} {:<16} {:<26} {:>8.1e} {:>7.1f} {:>9.7f} {:>7}\n", row.metrics.relative() <= options.tolerance ? " " : "!",
                       row.target, row.runtime, row.metrics.relative(), row.metrics.sqnr_db, row.metrics.cosine, agreement);
  }
  return out;
}

nlohmann::ordered_json to_json(const Row& row, double tolerance) {
  nlohmann::ordered_json j = {{"target", row.target}};
  if (!row.trouble.empty()) {
    j["not_run"] = row.trouble;
    if (!row.next.empty()) j["next"] = row.next;
    return j;
  }
  j["runtime"] = row.runtime;
  j["match"] = row.metrics.relative() <= tolerance;
  j.update(wherry::to_json(row.metrics));
  j["samples"] = row.samples;
  if (row.classes) j["agreement_top1"] = static_cast<double>(row.agreed) / static_cast<double>(row.samples);
  j["seconds"] = row.seconds;
  return j;
}

Samples samples_of(const LoadedSource& source, const Side& reference, const CompareOptions& options) {
  if (options.convert.calibrate.empty()) {
    const auto inputs = std::make_shared<std::vector<Tensor>>(seeded_inputs(reference.inputs(), options.random));
    return {.count = 1, .load = [inputs](std::size_t) { return *inputs; }};
  }
  Diagnostics diagnostics;
  const std::size_t all = std::numeric_limits<std::int32_t>::max();
  return source_samples(source, options.convert, options.samples == 0 ? all : options.samples, diagnostics);
}

void run(Session& session, const CompareOptions& options) {
  Progress progress(!session.json && !session.quiet);
  progress.at("import");
  const LoadedSource source = load_source(options.convert.source, options.convert.load);
  const auto reference = evaluator_side(source.graph, all_ops(), "the reference evaluator");
  const Samples samples = samples_of(source, *reference, options);
  const Outputs expected = run_all(*reference, samples, [&](std::size_t done) {
    progress.at("the reference evaluator", static_cast<double>(done), static_cast<double>(samples.count));
  });
  const Folder folder;
  std::vector<Row> rows;
  for (const Target& target : targets)
    if (options.targets.empty() || std::find(options.targets.begin(), options.targets.end(), target.name) != options.targets.end())
      rows.push_back(compare_target(target, options, folder, *reference, samples, expected, progress));
  progress.clear();
  const bool match = std::all_of(rows.begin(), rows.end(),
                                 [&](const Row& row) { return !row.trouble.empty() || row.metrics.relative() <= options.tolerance; });
  if (session.json) {
    nlohmann::ordered_json j = {{"match", match}, {"samples", samples.count}, {"tolerance", options.tolerance}};
    for (const Row& row : rows) j["targets"].push_back(to_json(row, options.tolerance));
    session.print(j);
  } else {
    std::string text = fmt::format("{}  {} against the reference evaluator, {} sample{}\n", match ? "match" : "MISMATCH",
                                   options.convert.source.filename().string(), samples.count, samples.count == 1 ? "" : "s");
    text += table(rows, options);
    text.pop_back();
    session.say(text);
  }
  if (!match) session.exit_code = mismatch;
}

}  // namespace

void add_compare(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "compare", "Run every target of a model on the same inputs, as one table",
                                  "  wherry compare fbnet_a.pt2\n"
                                  "  wherry compare m.yaml --weights m.pth --data photographs/\n"
                                  "  wherry compare m.yaml --targets tflite,keras:jax --json");
  auto options = std::make_shared<CompareOptions>();
  command->add_option("source", options->convert.source, "What 'convert' takes")->required()->type_name("SRC");
  command->add_option("--targets", options->targets, "Some of them (default: all)")->delimiter(',')->type_name("NAMES");
  command->add_option("--data", options->convert.calibrate, "Real inputs: a folder, a list, .npy, .npz")->type_name("DATA");
  command->add_option("--samples", options->samples, "Of the data, evenly spread")->type_name("N")->needs("--data");
  command->add_option("--preprocess", options->convert.preprocess, "A text that says how images become inputs")->type_name("TEXT");
  command->add_option("--random", options->random, "Seed of random inputs (default 0)")->type_name("N")->excludes("--data");
  command->add_option("--tolerance", options->tolerance, "Error allowed, of max|output| (1e-4)")->type_name("X");
  command->add_option("--threads", options->convert.threads, "Threads of the runtimes")
      ->check(CLI::Range(1, 64).description(""))
      ->type_name("N");
  add_load_options(*command, options->convert.load);
  command->callback([&session, options] {
    for (const std::string& name : options->targets) target_of(name);
    run(session, *options);
  });
}

}  // namespace wherry
