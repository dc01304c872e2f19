// wherry convert and wherry import: the command lines of convert().
#include "base/process.h"
#include "base/text.h"
#include "cli/convert.h"
#include "cli/progress.h"
#include "cli/session.h"

#include <fmt/format.h>

namespace wherry {

namespace {

std::string ports(const std::vector<NamedType>& list) {
  std::vector<std::string> parts;
  for (const NamedType& port : list) parts.push_back(fmt::format("{}: {}", port.name, text(port.type)));
  return join(parts, ", ");
}

// What the accuracy target was reached with, and what else was tried; "expected": of other samples, by these ones' margins.
std::string pareto_table(const MixedResult& mixed) {
  std::string out = "  target     outside int8  SQNR      agreement  expected  last out of int8";
  for (std::size_t i = 0; i < mixed.pareto.size(); ++i) {
    const ParetoPoint& p = mixed.pareto[i];
    out += fmt::format("\n         {} {:6.1f} %      {:5.2f} dB  {:6.2f} %   {:6.2f} %  {}", i == mixed.chosen ? '>' : ' ', 100 * p.outside,
                       p.score.sqnr_db, 100 * p.score.agreement, 100 * p.score.expected, p.added.empty() ? "nothing" : p.added);
  }
  return out;
}

std::string summary(const ConvertResult& r) {
  double total = 0;
  for (const auto& [stage, seconds] : r.seconds) total += seconds;
  int count = 0;
  std::vector<std::pair<int, std::string>> by_count;
  for (const auto& [op, n] : r.ops) by_count.emplace_back(-n, op), count += n;
  std::sort(by_count.begin(), by_count.end());
  std::vector<std::string> ops;
  for (const auto& [n, op] : by_count) ops.push_back(fmt::format("{} {}", op, -n));
  std::string out = fmt::format("{}  {}, {} operators, {:.2f} s, peak {:.0f} MB\n", r.out.string(),
                                human_bytes(static_cast<double>(r.bytes)), count, total, peak_rss_mb());
  for (const auto& file : r.beside) out += fmt::format("{}\n", file.string());
  out += fmt::format("  takes     {}{}\n  gives     {}\n", ports(r.inputs),
                     r.io == "nhwc" ? "   (channels last; --io nchw keeps the source's order)" : "", ports(r.outputs));
  out += fmt::format("  operators {}", join(ops, ", "));
  if (r.mixed) out += "\n" + pareto_table(*r.mixed);
  if (r.audit)
    out += fmt::format("\n  audit     no faults, {} warnings, {} notes", r.audit->count(AuditSeverity::warning),
                       r.audit->count(AuditSeverity::note));
  if (r.verified && r.verified->match && r.calibrated)
    out += fmt::format("\n  verified  in LiteRT on {}, at worst: cosine {:.4f}, SQNR {:.1f} dB",
                       r.on_data ? "calibration data" : "made-up inputs", r.verified->worst.cosine, r.verified->worst.sqnr_db);
  else if (r.verified && r.verified->match)
    out += fmt::format("\n  verified  in {}: max error {:.1e} of the output's scale (limit {:.0e}), SQNR {:.1f} dB", r.runtime,
                       r.verified->worst.relative(), r.verified->tolerance, r.verified->worst.sqnr_db);
  return out;
}

std::string mismatch_message(const ConvertResult& r, const ConvertOptions& options) {
  const VerifyReport& v = *r.verified;
  if (r.calibrated)
    return render(
        {.code = "E703",
         .message = fmt::format("the integer model's answers are not the source's: cosine {:.3f} where {} is asked, SQNR {:.1f} dB",
                                v.worst.cosine, v.tolerance, v.worst.sqnr_db),
         .at = v.first_mismatch.empty() ? "" : v.first_mismatch + " is the first layer that differs as much",
         .next = "look at the calibration data and at 'wherry verify SRC OUT --layers' after --no-verify; "
                 "--accuracy-target keeps parts in float32"});
  return render(
      {.code = "E703",
       .message = fmt::format("the file does not match its source: max error {:.3g} of {:.3g}, {:.1e} of the scale where {:.0e} is allowed",
                              v.worst.max_abs_error, v.worst.scale, v.worst.relative(), v.tolerance),
       .at = v.first_mismatch + " is the first layer that differs",
       .next = fmt::format(
           "nothing was written; 'wherry convert {} -o F.tflite --no-verify' and 'wherry verify {} F.tflite --layers' show every layer",
           options.source.string(), options.source.string())});
}

void run(Session& session, ConvertOptions& options) {
  Progress progress(!session.json && !session.quiet);
  options.progress = [&](const std::string& stage, double at, double total) { progress.at(stage, at, total); };
  const ConvertResult result = convert(options);
  progress.clear();
  session.warn(result.warnings);
  if (session.json) session.print(to_json(result));
  if (result.verified && !result.verified->match) {
    fmt::print(stderr, "{}", mismatch_message(result, options));
    session.exit_code = mismatch;
  } else {
    session.say(summary(result));
  }
}

void add_precision_options(CLI::App& command, ConvertOptions& options) {
  std::map<std::string, Precision> precisions;
  for (int p = 0; p <= static_cast<int>(Precision::int16x8); ++p)
    precisions.emplace(name(static_cast<Precision>(p)), static_cast<Precision>(p));
  command
      .add_option_function<Precision>(
          "--precision", [&options](Precision precision) { options.precision = precision; },
          "float32 (default), float16, dynamic, int8-weights,\nint4, int8 or int16x8; a quantized text has its own")
      ->transform(CLI::CheckedTransformer(precisions, CLI::ignore_case).description(""))
      ->type_name("NAME");
  command.add_option("--calibrate", options.calibrate, "Data for int8, int16x8: images, a list, .npy or .npz")->type_name("DATA");
  command.add_option("--calibration-count", options.calibration_count, "Use at most so many of them, spread evenly")->type_name("N");
  command.add_flag_callback(
      "--no-cache", [&options] { options.cache = false; }, "Measure anew, keep nothing in ~/.cache/wherry");
  command.add_option("--preprocess", options.preprocess, "A text that prepares images, if the source has none")->type_name("TEXT");
  command.add_option("--labels", options.labels, "A table of classes, for a target of top1")->type_name("F")->allow_extra_args(false);
  const std::map<std::string, RangeMethod> methods = {
      {"min-max", RangeMethod::minmax}, {"percentile", RangeMethod::percentile}, {"mse", RangeMethod::mse}, {"kl", RangeMethod::kl}};
  command.add_option("--ranges", options.quantize.plan.method, "Of activations: mse (default), min-max, percentile, kl")
      ->transform(CLI::CheckedTransformer(methods, CLI::ignore_case).description(""))
      ->type_name("METHOD");
  const std::map<std::string, Rounding> roundings = {
      {"nearest", Rounding::nearest}, {"gptq", Rounding::gptq}, {"adaround", Rounding::adaround}};
  command.add_option("--rounding", options.quantize.rounding, "Of weights: gptq (default), adaround or nearest")
      ->transform(CLI::CheckedTransformer(roundings, CLI::ignore_case).description(""))
      ->type_name("METHOD");
  command.add_flag_callback(
      "--no-refit", [&options] { options.quantize.refit = false; }, "With gptq, adaround: keep the float weights as target");
  command.add_option("--percentile", options.quantize.plan.percentile, "With --ranges percentile: how much is covered (99.99)")
      ->type_name("P");
  command
      .add_option_function<std::string>(
          "--accuracy-target", [&options](const std::string& text) { options.quantize.target = parse_accuracy_target(text); },
          "\"agreement >= 99.5%\", \"sqnr >= 30 dB\" or\n\"top1 drop <= 0.5%\": parts stay float32 until it holds")
      ->type_name("METRIC");
  const std::map<std::string, DType> islands = {{"float32", DType::float32}, {"int16", DType::int16}};
  command.add_option("--islands", options.quantize.islands, "What those parts are in: float32 (default) or int16")
      ->transform(CLI::CheckedTransformer(islands, CLI::ignore_case).description(""))
      ->type_name("NAME");
  command.add_flag_callback(
      "--no-centre", [&options] { options.quantize.centre = false; }, "Leave channels where they are in their tensor's range");
  command.add_flag_callback(
      "--no-answer-fit", [&options] { options.quantize.fit_answer = false; }, "Leave the last layer's gain, however strong the noise");
  command.add_flag_callback(
      "--no-equalize", [&options] { options.quantize.equalize = false; }, "Leave channels as weak or strong as they are");
  command.add_flag("--integer-borders", options.quantize.apply.integer_borders, "Take and give integers, not float32");
  command.add_flag("--allow-float", options.quantize.plan.allow_float, "Leave what has no integer kernel in float32");
  command.add_flag_callback(
      "--no-bias-correction", [&options] { options.quantize.correct_bias = false; }, "Leave the mean shift of quantization in");
}

}  // namespace

void add_convert(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "convert", "Convert a model and verify the result in its runtime",
                                  "  wherry convert fbnet_a.pt2 -o fbnet_a.tflite\n"
                                  "  wherry convert m.yaml --weights m.pth -o m.tflite --precision float16\n"
                                  "  wherry convert model.pt2 -o model.tflite --io nchw --dim batch=1 --json\n"
                                  "  wherry convert fbnet_a.yaml --to torch -o fbnet_a.py\n"
                                  "  wherry convert model.onnx -o model.tflite --dim batch=1\n"
                                  "  wherry convert model.yaml -o model.onnx --opset 18\n"
                                  "  wherry convert model.pt2 -o model.tflite --check-passes --dump passes/");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("source", options->source, "A .pt2 archive, an .onnx or a text (.yaml, .json)")->required()->type_name("SRC");
  command->add_option("-o,--output", options->out, ".tflite, .keras, .onnx, .py, .yaml or .json: as named")->required()->type_name("OUT");
  add_precision_options(*command, *options);
  command
      ->add_option_function<std::string>(
          "--io", [options](const std::string& word) { options->io = word == "nhwc" ? Io::nhwc : Io::nchw; },
          "Layout of images: nhwc (TFLite's, default) or nchw")
      ->check(CLI::IsMember({"nhwc", "nchw"}).description(""))
      ->type_name("NAME");
  command
      ->add_option("--l1-cache", options->l1_cache,
                   "Split depthwise convolutions to fit a CPU's L1 cache\n(32, 48, 64): faster on one thread, slower on more")
      ->check(CLI::Range(1, 65536).description(""))
      ->type_name("KB");
  command->add_option("--to", options->to, "Framework of a .py: torch, keras, jax or nnx")->type_name("NAME");
  command->add_flag("--nested", options->nested, "Of a .keras: each block is a model in the model");
  command->add_option("--opset", options->opset, "Opset of an .onnx: 13 to 28 (26)")->type_name("N");
  command->add_flag_callback(
      "--no-verify", [options] { options->verify = false; }, "Do not run the result in LiteRT");
  command->add_option("--tolerance", options->tolerance, "Error allowed, of max|output| (1e-4; float16 2e-2)")->type_name("X");
  command->add_option("--threads", options->threads, "Threads for verification")->check(CLI::Range(1, 64).description(""))->type_name("N");
  command->add_option("--skip-pass", options->passes.skip, "Leave a pass out; may be repeated")->type_name("NAME")->allow_extra_args(false);
  command->add_option("--stop-after", options->passes.stop_after, "Run no pass behind this one")->type_name("NAME");
  command->add_flag("--check-passes", options->check_passes, "Compare the numbers before and after each pass");
  command->add_option("--dump", options->dump, "Write the graph after each pass into a folder")->type_name("DIR");
  add_load_options(*command, options->load);
  command->callback([&session, options] { run(session, *options); });
}

void add_import(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "import", "Turn any source into text and safetensors",
                                  "  wherry import fbnet_a.pt2 -o fbnet_a.yaml\n"
                                  "  wherry import fbnet_a.yaml --weights checkpoint.pth -o trained.json");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("source", options->source, "A .pt2 archive, an .onnx or a text (.yaml, .json)")->required()->type_name("SRC");
  command->add_option("-o,--output", options->out, "The text to write; weights go beside it")
      ->required()
      ->type_name("MODEL.yaml")
      ->check([](const std::string& name) {
        const std::string suffix = std::filesystem::path(name).extension().string();
        return suffix == ".yaml" || suffix == ".yml" || suffix == ".json" ? "" : "'" + name + "' should end in .yaml or .json";
      });
  command->add_flag_callback(
      "--no-verify", [options] { options->verify = false; }, "Do not prove that the text gives the graph back");
  add_load_options(*command, options->load);
  command->callback([&session, options] { run(session, *options); });
}

}  // namespace wherry
