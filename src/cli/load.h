// Any source → Graph, by what the file is.
#pragma once

#include "ir/builder.h"
#include "ir/model.h"

namespace wherry {

enum class FileKind { pt2, text, tflite, keras, onnx, python, safetensors, pth };

// By content first (zip with models/, TFL3, safetensors header), then by suffix. E101, E107.
FileKind kind_of(const std::filesystem::path& file);

struct LoadOptions {
  std::filesystem::path weights;             // instead of the file that the text names
  std::optional<std::uint64_t> seed;         // make the weights instead of reading them
  std::map<std::string, std::int64_t> dims;  // sizes for symbolic dimensions
};

struct LoadedSource {
  Graph graph;
  std::optional<Model> model;  // the text, when it was one
  std::filesystem::path file;
  std::vector<Diagnostic> warnings;
};

// Fails with all that is wrong.
LoadedSource load_source(const std::filesystem::path& file, const LoadOptions& options);

// Folders where `use:` finds block libraries: $WHERRY_LIBRARY, beside the text, beside the installed program.
std::vector<std::filesystem::path> library_folders();

}  // namespace wherry
