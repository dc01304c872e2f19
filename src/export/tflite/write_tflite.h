// TflGraph → the bytes of a .tflite file. Knows no operator by name: options are written by the schema's own tables.
#pragma once

#include "base/diagnostics.h"
#include "base/files.h"
#include "ops/tfl.h"

namespace wherry {

// What travels with the file: the TFLite Metadata convention (normalisation, associated label file) and Wherry's provenance.
struct TfliteMetadata {
  std::string description;
  std::vector<float> mean, std;     // of the image input, in units of 0..255 as the convention wants; empty: none
  std::vector<std::string> labels;  // by class; empty: none
  std::string provenance;           // JSON: source hash, tool version, layers; stored as metadata "WHERRY_PROVENANCE"
};

// Streams the file: the tables first, then each buffer, 16-byte aligned, straight from its tensor. The same graph gives the
// same bytes. Above 2 GB of tables plus buffers: E603.
void write_tflite(const TflGraph& graph, const TfliteMetadata& metadata, AtomicFile& file);

// The same in memory and without metadata: for graphs that are run at once.
std::string tflite_bytes(const TflGraph& graph);

}  // namespace wherry
