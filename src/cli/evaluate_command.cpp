// wherry evaluate MODEL… --data DATA
#include "base/files.h"
#include "base/text.h"
#include "cli/evaluate.h"
#include "cli/progress.h"
#include "cli/session.h"

#include <fmt/format.h>

namespace wherry {

namespace {

std::string percent(const std::optional<std::size_t>& hits, std::size_t count) {
  if (!hits) return "-";
  const Interval i = wilson(*hits, count);
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", 100.0 * static_cast<double>(*hits) / static_cast<double>(count), 100 * i.low, 100 * i.high);
}

std::string shortened(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

std::string table(const EvaluateResult& result) {
  std::size_t width = 5;
  for (const ModelScore& m : result.models) width = std::max(width, std::min<std::size_t>(m.name.size(), 24));
  std::string out = fmt::format("{:<{}} {:>18} {:>18} {:>8}\n", "model", width, "top-1 %", "top-5 %", "images/s");
  for (const ModelScore& m : result.models)
    out += fmt::format("{:<{}} {:>18} {:>18} {:>8.1f}\n", shortened(m.name, width), width, percent(m.top1, result.count),
                       percent(m.top5, result.count), m.images_per_second);
  if (result.models.size() > 1) {
    out += fmt::format("\n{:<{}} {:>18} {:>6} {:>7} {:>7} {:>8}\n", "against the reference", std::max<std::size_t>(width, 21),
                       "agreement %", "top-5", "SQNR dB", "cosine", "L2");
    for (const ModelScore& m : result.models)
      if (m.distance)
        out += fmt::format("{:<{}} {:>18} {:>6.1f} {:>7.1f} {:>7.4f} {:>8.3g}\n", shortened(m.name, width),
                           std::max<std::size_t>(width, 21), percent(m.agreement_top1, result.count),
                           100.0 * static_cast<double>(*m.agreement_top5) / static_cast<double>(result.count), m.distance->sqnr_db,
                           m.distance->cosine, m.distance->l2);
  }
  return out;
}

std::string flips(const EvaluateResult& result) {
  constexpr std::size_t shown = 10;
  std::string out;
  for (const ModelScore& m : result.models) {
    if (m.flips.empty()) continue;
    out += fmt::format("\n{}: {} flipped\n", m.name, m.flips.size());
    for (std::size_t i = 0; i < std::min(m.flips.size(), shown); ++i) {
      const Flip& flip = m.flips[i];
      out += fmt::format("  {:<32} {} -> {}{}\n", shortened(result.data->sample(flip.sample).name, 32),
                         shortened(result.classes.name(flip.reference), 18), shortened(result.classes.name(flip.model), 18),
                         flip.truth ? (*flip.truth == flip.model       ? " (right now)"
                                       : *flip.truth == flip.reference ? " (was right)"
                                                                       : "")
                                    : "");
    }
    if (m.flips.size() > shown) out += fmt::format("  and {} more: --json and --report list them all\n", m.flips.size() - shown);
  }
  return out;
}

void run(Session& session, EvaluateOptions& options, const std::filesystem::path& page) {
  if (options.models.size() + (options.reference.empty() ? 0 : 1) < 2 && options.layers)
    fail({.code = "E901", .message = "--layers compares with a reference, and there is none", .next = "add --reference MODEL"});
  Progress progress(!session.json && !session.quiet);
  options.progress = [&](const std::string& stage, double done, double total) { progress.at(stage, done, total); };
  const EvaluateResult result = evaluate(options);
  progress.clear();
  if (!page.empty()) write_text(page, html_page(result));
  if (session.json) {
    session.print(to_json(result));
  } else {
    session.say(fmt::format("{} samples of {}, labels: {}\n\n{}{}", result.count, result.data->path().string(),
                            result.labels_from.empty() ? "none" : result.labels_from, table(result), flips(result)));
  }
  session.warn(result.warnings);
}

}  // namespace

void add_evaluate(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "evaluate", "Score models on labelled data and against each other",
                                  "  wherry evaluate lite0.tflite --data val/ --labels imagenet.tsv\n"
                                  "  wherry evaluate lite0.int8.tflite --reference lite0.tflite --data val/\n"
                                  "  wherry evaluate a.yaml a.tflite a.int8.tflite a.keras --data val/ --report a.html\n"
                                  "  wherry evaluate a.int8.tflite --reference a.yaml --data val/ --layers --json");
  auto options = std::make_shared<EvaluateOptions>();
  auto page = std::make_shared<std::filesystem::path>();
  command->add_option("models", options->models, "What is scored: .tflite, text, .pt2, .keras or .onnx")->required()->type_name("MODEL");
  command->add_option("--data", options->data, "A folder of images, a list of files, .npy or .npz")->required()->type_name("DATA");
  command->add_option("--labels", options->labels, "A table of classes, or the labels of the samples; may be repeated")
      ->type_name("F")
      ->allow_extra_args(false);
  command->add_option("--reference", options->reference, "What the others are compared with (default: the first of several)")
      ->type_name("MODEL");
  command->add_option("--preprocess", options->preprocess, "A text whose 'preprocess' all models take, instead of their own")
      ->type_name("TEXT.yaml");
  command->add_option("--limit", options->limit, "Only so many samples, at even distances")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("N");
  command->add_flag("--layers", options->layers, "SQNR of every layer against the reference, on four samples");
  command->add_option("--report", *page, "Write a page with the flipped images and the layers")->type_name("F.html");
  command->add_option("--threads", options->model.threads, "Threads for decoding and running (default 2)")
      ->check(CLI::Range(1, 64).description(""))
      ->type_name("N");
  command->add_flag("--in-framework", options->model.in_framework, "Run a .pt2 in PyTorch itself");
  command->add_option("--backend", options->model.backend, "Keras's: tensorflow, jax or torch")
      ->check(CLI::IsMember({"tensorflow", "jax", "torch"}).description(""))
      ->type_name("NAME");
  add_load_options(*command, options->model.load);
  command->callback([&session, options, page] { run(session, *options, *page); });
}

}  // namespace wherry
