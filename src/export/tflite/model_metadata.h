// The TensorFlow Lite Metadata convention: what the inputs and outputs mean, and files that travel behind the model in a ZIP.
#pragma once

#include "base/files.h"
#include "export/tflite/write_tflite.h"

namespace wherry {

inline constexpr std::string_view tflite_label_file = "labels.txt";

// The bytes stored as metadata TFLITE_METADATA. The normalisation goes to the first input that is an image (rank 4, 1 or 3
// channels), the labels to the first output.
std::string model_metadata(const TflGraph& graph, const TfliteMetadata& metadata);

// Appends the associated files, if there are any, as a ZIP with stored entries. Needs: all of the model has been written.
void append_associated_files(const TfliteMetadata& metadata, AtomicFile& file);

}  // namespace wherry
