// wherry check SRC --target tflite: everything that stands in the way, at once, before anything is written.
#include "base/text.h"
#include "cli/check_file.h"
#include "cli/lower_source.h"
#include "cli/session.h"
#include "ir/bind.h"
#include "ops/all_ops.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct CheckOptions {
  std::filesystem::path source, reference, data;
  LoadOptions load;
  std::string target = "tflite";
};

void run(Session& session, const CheckOptions& options) {
  const LoadedSource source = load_source(options.source, options.load);
  Diagnostics diagnostics;
  for (const Diagnostic& warning : source.warnings) diagnostics.add(warning);
  const std::vector<std::string> open = open_dims(source.graph);
  Graph graph = source.graph;
  if (!open.empty()) {
    diagnostics.add({.code = "E504",
                     .message = fmt::format("dimensions without a size: {}", join(open, ", ")),
                     .next = fmt::format("give each a size: --dim {}=1 (1 is assumed for the rest of this check)", open.front())});
    std::map<std::string, std::int64_t> ones;
    for (const std::string& name : open) ones[name] = 1;
    graph = bind_dims(graph, ones);
  }
  const Lowered lowered = lower_source(graph, {}, {}, diagnostics);
  diagnostics.throw_if_errors();
  std::map<std::string, int> ops;
  double bytes = 0;
  for (const TflNode& node : lowered.graph.nodes) ++ops[node.builtin];
  for (const TflTensor& tensor : lowered.graph.tensors)
    if (tensor.constant) bytes += static_cast<double>(tensor.constant->bytes());
  session.warn(diagnostics.all());
  if (session.json)
    session.print({{"ok", true}, {"target", options.target}, {"ops", ops}, {"weight_bytes", bytes}, {"transposes", ops["TRANSPOSE"]}});
  else
    session.say(fmt::format("nothing stands in the way: {} operators, {} of weights, {} transposes", lowered.graph.nodes.size(),
                            human_bytes(bytes), ops["TRANSPOSE"]));
}

}  // namespace

void add_check(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "check", "Say all that stands in the way of a conversion, or all faults of a .tflite",
                                  "  wherry check model.pt2 --target tflite\n"
                                  "  wherry check model.yaml --weights model.pth --json\n"
                                  "  wherry check anyones_int8.tflite --reference float.tflite\n"
                                  "  wherry check anyones_int8.tflite --reference model.yaml --data photographs/");
  auto options = std::make_shared<CheckOptions>();
  command->add_option("source", options->source, "A source to be converted, or a .tflite to be audited")->required()->type_name("SRC");
  command->add_option("--target", options->target, "What to convert to: tflite")
      ->check(CLI::IsMember({"tflite"}).description(""))
      ->type_name("NAME");
  command->add_option("--reference", options->reference, "Of a .tflite: the same network in float")->type_name("MODEL");
  command->add_option("--data", options->data, "Of a .tflite: data that tell which ranges are narrow;\nimages need a text as --reference")
      ->type_name("DATA");
  add_load_options(*command, options->load);
  command->callback([&session, options] {
    if (kind_of(options->source) == FileKind::tflite)
      return check_file(session, {options->source, options->reference, options->data, options->load});
    if (!options->reference.empty() || !options->data.empty())
      fail({.code = "E901",
            .message = "--reference and --data belong to a .tflite that is audited",
            .next = "leave them out, or name a .tflite as SRC"});
    run(session, *options);
  });
}

}  // namespace wherry
