// Any .tflite file → TflGraph, whoever wrote it: what `check` audits, what `verify` reads scales from, what import/ gives a meaning.
#pragma once

#include "base/files.h"
#include "ops/tfl.h"

#include <map>
#include <memory>

namespace wherry {

struct TflFile {
  TflGraph graph;                          // of the first signature, or the first graph; constants are views into the file (int4 unpacked)
  std::vector<int> versions;               // by node: the version of its operator that the file asks for
  std::map<int, std::string> other_types;  // tensors of a type that no Tensor holds ("STRING", "INT2"): read as uint8, no constant
  std::map<int, Sizes> open_sizes;         // tensors with sizes that are left open: -1 there; the graph has the sizes that stand in
  std::map<std::string, std::string> metadata;  // by name
  std::size_t subgraphs = 1;                    // all that the file has
};

// A custom operator is a node under its own name, without options. A node's path is the name of its first output.
// Options that the file leaves out have the format's defaults. Fails with E107 (no .tflite, or damaged), E105 (a constant's bytes do
// not fit its shape), E503 (a shape that overflows).
TflFile read_tfl_graph(const std::shared_ptr<const MappedFile>& file);
TflFile read_tfl_graph(const std::filesystem::path& file);

}  // namespace wherry
