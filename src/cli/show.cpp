// wherry show X: a tree of what a file holds, with shapes, parameters and multiply-accumulates.
#include "base/files.h"
#include "base/text.h"
#include "cli/session.h"
#include "cli/tree.h"
#include "import/pickle/read_pth.h"
#include "import/safetensors/read_safetensors.h"
#include "tflite_schema/tflite_model.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct ShowOptions {
  std::filesystem::path file;
  LoadOptions load;
  int depth = 3;
};

void show_graph(Session& session, const LoadedSource& source, int depth) {
  const GraphTree tree = tree_of(source.graph);
  if (session.json) session.print(to_json(tree, source.graph));
  else session.say(render(tree, source.graph, depth));
}

void show_weights(Session& session, const Weights& weights) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string text;
  double bytes = 0, count = 0;
  for (const auto& [key, tensor] : weights) {
    list.push_back({{"name", key}, {"type", wherry::text(tensor.type())}});
    text += fmt::format("  {:<50} {}\n", key, wherry::text(tensor.type()));
    bytes += static_cast<double>(tensor.bytes()), count += static_cast<double>(tensor.count());
  }
  if (session.json) session.print({{"tensors", list}, {"parameters", count}, {"bytes", bytes}});
  else session.say(fmt::format("{} tensors, {} elements, {}\n{}", weights.size(), human_count(count), human_bytes(bytes), text.substr(0, text.size() - (text.empty() ? 0 : 1))));
}

void show_tflite(Session& session, const std::filesystem::path& file) {
  const TfliteModel model = TfliteModel::open(file);
  const TfliteSummary s = model.summary();
  nlohmann::ordered_json ops = nlohmann::ordered_json::array();
  int count = 0;
  std::string text;
  for (const auto& op : s.operators) {
    ops.push_back({{"name", op.name}, {"version", op.version}, {"count", op.count}});
    text += fmt::format("  {:<28} {:>5}   version {}\n", op.name, op.count, op.version);
    count += op.count;
  }
  const auto ports = [](const std::vector<TfliteModel::Port>& list) {
    std::vector<std::string> parts;
    for (const auto& port : list) parts.push_back(fmt::format("{}: {}", port.name, wherry::text(port.type)));
    return parts;
  };
  if (session.json) {
    session.print({{"inputs", ports(s.inputs)}, {"outputs", ports(s.outputs)}, {"operators", ops}, {"tensors", s.tensors}, {"weight_bytes", s.weight_bytes}});
    return;
  }
  session.say(fmt::format("{}  TensorFlow Lite, {} operators, {} of weights\n  takes  {}\n  gives  {}\n{}", file.filename().string(), count,
                          human_bytes(static_cast<double>(s.weight_bytes)), join(ports(s.inputs), ", "), join(ports(s.outputs), ", "),
                          text.substr(0, text.size() - (text.empty() ? 0 : 1))));
}

void run(Session& session, const ShowOptions& options) {
  switch (kind_of(options.file)) {
    case FileKind::tflite: return show_tflite(session, options.file);
    case FileKind::safetensors: return show_weights(session, read_safetensors(options.file));
    case FileKind::pth: return show_weights(session, read_pth(options.file));
    case FileKind::pt2:
    case FileKind::text: break;
  }
  const LoadedSource source = load_source(options.file, options.load);
  session.warn(source.warnings);
  show_graph(session, source, options.depth);
}

}  // namespace

void add_show(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "show", "Show what a file holds: shapes, parameters, MACs",
                                  "  wherry show fbnet_a.pt2\n"
                                  "  wherry show model.yaml --depth 2\n"
                                  "  wherry show model.tflite\n"
                                  "  wherry show weights.pth --json");
  auto options = std::make_shared<ShowOptions>();
  command->add_option("file", options->file, "A .pt2, text, .tflite, .safetensors or .pth")->required()->type_name("X");
  command->add_option("--depth", options->depth, "Levels of the tree to show (default 3)")->check(CLI::Range(1, 100).description(""))->type_name("N");
  add_load_options(*command, options->load);
  command->callback([&session, options] {
    if (options->load.weights.empty() && !options->load.seed) options->load.seed = 0;   // a text is shown without its weights
    run(session, *options);
  });
}

}  // namespace wherry
