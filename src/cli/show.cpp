// wherry show X: a tree of what a file holds, with shapes, parameters and multiply-accumulates.
#include "base/files.h"
#include "base/text.h"
#include "cli/session.h"
#include "cli/tree.h"
#include "import/pickle/read_pth.h"
#include "import/safetensors/read_safetensors.h"
#include "runtime/tflite_file.h"

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
  if (session.json)
    session.print(to_json(tree, source.graph));
  else
    session.say(render(tree, source.graph, depth));
}

void show_weights(Session& session, const Weights& weights) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string text;
  double bytes = 0, count = 0;
  for (const auto& [key, tensor] : weights) {
    list.push_back({{"name", key}, {"type", wherry::text(tensor.type())}});
    text += fmt::format("\n  {:<50} {}", key, wherry::text(tensor.type()));
    bytes += static_cast<double>(tensor.bytes()), count += static_cast<double>(tensor.count());
  }
  if (session.json)
    session.print({{"tensors", list}, {"parameters", count}, {"bytes", bytes}});
  else
    session.say(fmt::format("{} tensors, {} elements, {}{}", weights.size(), human_count(count), human_bytes(bytes), text));
}

std::vector<std::string> port_texts(const std::vector<TensorInfo>& list) {
  std::vector<std::string> parts;
  for (const TensorInfo& port : list) parts.push_back(fmt::format("{}: {}", port.name, text(port.type)));
  return parts;
}

void show_tflite(Session& session, const std::filesystem::path& file) {
  const TfliteSummary s = summarize_tflite(file);
  std::vector<std::pair<int, std::string>> by_count;
  int count = 0;
  for (const auto& [name, op] : s.operators) by_count.emplace_back(-op.count, name), count += op.count;
  std::sort(by_count.begin(), by_count.end());
  nlohmann::ordered_json ops = nlohmann::ordered_json::array();
  std::string rows;
  for (const auto& [minus, name] : by_count) {
    ops.push_back({{"name", name}, {"version", s.operators.at(name).version}, {"count", -minus}});
    rows += fmt::format("\n  {:<28} {:>5}   version {}", name, -minus, s.operators.at(name).version);
  }
  if (session.json) {
    session.print({{"inputs", port_texts(s.inputs)},
                   {"outputs", port_texts(s.outputs)},
                   {"operators", ops},
                   {"tensors", s.tensors},
                   {"bytes", s.bytes},
                   {"weight_bytes", s.weight_bytes},
                   {"description", s.description},
                   {"metadata", s.metadata},
                   {"files", s.files}});
    return;
  }
  session.say(fmt::format("{}  TensorFlow Lite, {} operators, {} of weights\n  takes  {}\n  gives  {}{}", file.filename().string(), count,
                          human_bytes(static_cast<double>(s.weight_bytes)), join(port_texts(s.inputs), ", "),
                          join(port_texts(s.outputs), ", "), rows));
}

void run(Session& session, const ShowOptions& options) {
  switch (kind_of(options.file)) {
    case FileKind::tflite: return show_tflite(session, options.file);
    case FileKind::safetensors: return show_weights(session, read_safetensors(options.file));
    case FileKind::pth: return show_weights(session, read_pth(options.file));
    default: break;
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
  command->add_option("--depth", options->depth, "Levels of the tree to show (default 3)")
      ->check(CLI::Range(1, 100).description(""))
      ->type_name("N");
  add_load_options(*command, options->load);
  command->callback([&session, options] {
    if (options->load.weights.empty() && !options->load.seed) options->load.seed = 0;  // a text is shown without its weights
    run(session, *options);
  });
}

}  // namespace wherry
