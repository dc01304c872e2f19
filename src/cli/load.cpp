#include "cli/load.h"

#include "base/files.h"
#include "import/keras/read_keras.h"
#include "import/pickle/read_pth.h"
#include "import/pt2/read_pt2.h"
#include "import/safetensors/read_safetensors.h"
#include "import/tflite/read_tflite.h"
#include "ir/bind.h"
#include "ir/flatten.h"
#include "ir/text/read_model.h"
#include "ops/all_ops.h"
#include "tflite_schema/tflite_model.h"
#include "verify/provenance.h"

#include <unistd.h>

#include <cstdlib>

namespace wherry {

namespace fs = std::filesystem;

FileKind kind_of(const fs::path& file) {
  const std::shared_ptr<const MappedFile> mapped = MappedFile::open(file);
  const std::string_view text = mapped->text();
  const std::string suffix = file.extension().string();
  if (suffix == ".tflite" || (text.size() > 8 && text.substr(4, 4) == "TFL3")) return FileKind::tflite;
  if (suffix == ".keras") return FileKind::keras;
  if (suffix == ".onnx") return FileKind::onnx;
  if (suffix == ".pt2") return FileKind::pt2;
  if (suffix == ".pth" || suffix == ".pt" || suffix == ".bin") return text.find("models/") < 4096 ? FileKind::pt2 : FileKind::pth;
  if (suffix == ".py") return FileKind::python;
  if (suffix == ".safetensors") return FileKind::safetensors;
  if (suffix == ".yaml" || suffix == ".yml" || suffix == ".json") return FileKind::text;
  fail({.code = "E107",
        .message = fmt::format("'{}' is of no kind that Wherry reads", file.string()),
        .next = "give a .pt2 (torch.export.save), a .yaml or .json text, or a .tflite; weights alone are .safetensors or .pth"});
}

std::vector<fs::path> library_folders() {
  std::vector<fs::path> folders;
  if (const char* set = std::getenv("WHERRY_LIBRARY")) folders.emplace_back(set);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (fs::path folder = program.parent_path(); !folder.empty() && folder != folder.root_path(); folder = folder.parent_path())
    for (const char* place : {"share/wherry/library", "library"})
      if (fs::is_directory(folder / place, error)) folders.push_back(folder / place);
  for (const auto& python : fs::directory_iterator(program.parent_path().parent_path() / "lib", error))  // beside the Python package
    if (const fs::path library = python.path() / "site-packages/wherry/library"; fs::is_directory(library, error))
      folders.push_back(library);
  return folders;
}

namespace {

Weights read_weights(const fs::path& file) {
  switch (kind_of(file)) {
    case FileKind::safetensors: return read_safetensors(file);
    case FileKind::pth: return read_pth(file);
    default: break;
  }
  fail({.code = "E107",
        .message = fmt::format("'{}' is not a file of weights", file.string()),
        .next = "give a .safetensors file or a PyTorch state dict (.pth)"});
}

// The file of weights that goes with a text, or nothing when they are to be made.
std::optional<fs::path> weights_file(const Model& model, const fs::path& text, const LoadOptions& options) {
  if (options.seed) return std::nullopt;
  if (!options.weights.empty()) return options.weights;
  if (!model.weights.empty()) return text.parent_path() / model.weights;
  fail({.code = "E401",
        .message = fmt::format("'{}' names no weights", text.string()),
        .next = "add 'weights: FILE.safetensors' to the text, or give --weights FILE, or --seed N for weights made at random"});
}

void load_text(LoadedSource& source, const LoadOptions& options, Diagnostics& diagnostics) {
  Model model = read_model(source.file, library_folders(), diagnostics);
  diagnostics.throw_if_errors();
  FlattenOptions flatten_options;
  Weights weights;
  if (const std::optional<fs::path> file = weights_file(model, source.file, options)) {
    weights = read_weights(*file);
    flatten_options.weights = &weights;
  } else {
    flatten_options.seed = *options.seed;
  }
  source.graph = flatten(model, all_ops(), flatten_options, diagnostics);
  source.model = std::move(model);
}

// A file of Wherry's own says how the source's axes lay and what its values were called.
void load_tflite(LoadedSource& source, Diagnostics& diagnostics) {
  const TflFile file = read_tfl_graph(source.file);
  TfliteOrigin origin;
  const auto record = file.metadata.find(std::string(tflite_provenance));
  if (const auto provenance = record == file.metadata.end() ? std::nullopt : parse_provenance(record->second)) {
    origin.ports = provenance->ports;
    for (const Provenance::Layer& layer : provenance->layers) origin.names[layer.tensor] = layer.name;
  }
  source.graph = read_tflite(file, origin, all_ops(), diagnostics);
}

void load_keras(LoadedSource& source, Diagnostics& diagnostics) {
  Archive archive = Archive::open(source.file);
  KerasPortOrders orders;
  if (archive.has("wherry.json"))
    if (const std::optional<Provenance> provenance = parse_provenance(archive.read("wherry.json").text())) orders = provenance->ports;
  source.graph = read_keras(archive, orders, all_ops(), diagnostics);
}

}  // namespace

LoadedSource load_source(const fs::path& file, const LoadOptions& options) {
  LoadedSource source;
  source.file = file;
  Diagnostics diagnostics;
  switch (kind_of(file)) {
    case FileKind::pt2: source.graph = read_pt2(file, all_ops(), diagnostics); break;
    case FileKind::text: load_text(source, options, diagnostics); break;
    case FileKind::pth:
    case FileKind::safetensors:
      fail({.code = "E107",
            .message = fmt::format("'{}' holds weights but no architecture", file.string()),
            .next = "convert the architecture's text with them: wherry convert MODEL.yaml --weights " + file.string() + " -o OUT"});
    case FileKind::keras: load_keras(source, diagnostics); break;
    case FileKind::onnx:
    case FileKind::python:
      fail({.code = "E107",
            .message = fmt::format("'{}' can be verified against a source, but is no source to convert", file.string()),
            .next = "start from the .pt2 or the text it was made of"});
    case FileKind::tflite: load_tflite(source, diagnostics); break;
  }
  diagnostics.throw_if_errors();
  source.warnings = diagnostics.all();
  if (source.graph.name.empty()) source.graph.name = file.stem().string();
  source.graph = bind_dims(source.graph, options.dims);
  return source;
}

}  // namespace wherry
