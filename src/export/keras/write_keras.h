// KerasGraph → .keras, the archive that keras.models.load_model opens: config.json, metadata.json, model.weights.h5, and
// wherry.json, which Keras passes over: where the file comes from.
#pragma once

#include "base/files.h"
#include "ops/keras.h"

namespace wherry {

inline constexpr std::string_view keras_provenance_entry = "wherry.json";

void write_keras(const KerasGraph& graph, const std::string& provenance, AtomicFile& file);

// The entries config.json and metadata.json.
std::string keras_config(const KerasGraph& graph);
std::string keras_metadata();

// model.weights.h5 at `path`.
void write_keras_weights(const KerasGraph& graph, const std::filesystem::path& path);

// The nodes in the order in which Keras lists a functional model's layers: by distance from the outputs, then as a search from the
// outputs meets them. The weights' names count the layers of each class in it.
std::vector<int> keras_layer_order(const KerasGraph& graph);
// "ops.numpy.Add" is an operation, without weights and without a place among the layers.
bool is_operation(const KerasNode& node);

}  // namespace wherry
