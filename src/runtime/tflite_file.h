// What a .tflite file holds, and the same file with more or fewer ports: for `show`, for comparing layer by layer, for LiteRT.
#pragma once

#include "ir/graph.h"
#include "runtime/litert.h"

#include <map>

namespace wherry {

struct TfliteSummary {
  struct Operator {
    int count = 0, version = 0;
  };
  std::map<std::string, Operator> operators;  // by name: "CONV_2D", or a custom operator's own
  std::vector<TensorInfo> inputs, outputs;    // of the first signature, by its names
  std::size_t tensors = 0, bytes = 0, weight_bytes = 0;
  std::string description;
  std::map<std::string, std::string> metadata;  // by name, as the file has it (min_runtime_version without its padding)
  std::vector<std::string> files;               // what the ZIP behind the model holds: "labels.txt"
};

// Fails with E101 or E107.
TfliteSummary summarize_tflite(const std::filesystem::path& file);

struct TappedTflite {
  std::string bytes;
  std::vector<int> output;  // by tap: its place among the outputs, or -1 where no operator of the file makes the tensor
};

// The file with tensors of its first signature's graph as outputs behind its own: Port::value is a tensor's index in the file.
// Names that are taken get a number. Fails with E702 where the file is damaged.
TappedTflite with_outputs(std::span<const std::byte> file, const std::vector<Port>& taps);

// A port of the first signature whose tensor has no elements.
struct EmptyPort {
  bool is_output = false;
  std::size_t place = 0;  // among all inputs or outputs
  TensorInfo info;
};
// Needs: a .tflite file that is whole.
std::vector<EmptyPort> empty_ports(std::span<const std::byte> file);
// The file with all other ports alone.
std::string without_ports(std::span<const std::byte> file, const std::vector<EmptyPort>& empty);

}  // namespace wherry
