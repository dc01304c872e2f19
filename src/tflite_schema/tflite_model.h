// The .tflite container as C++ sees it: the generated tables, the names with a meaning, and the check that comes before reading.
#pragma once

#include "ir/dtype.h"
#include "tflite_schema/schema_generated.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wherry {

inline constexpr std::string_view tflite_signature = "serving_default";
inline constexpr std::string_view tflite_min_runtime_version = "min_runtime_version";
inline constexpr std::string_view tflite_model_metadata = "TFLITE_METADATA";
inline constexpr std::string_view tflite_provenance = "WHERRY_PROVENANCE";

// Why these bytes are no .tflite file that can be read without a fault, or "": the FlatBuffer's own structure, and every index
// that one table has into another.
std::string why_not_tflite(std::span<const std::byte> bytes);

// Needs: why_not_tflite(bytes) is "".
inline const tflite::Model& tflite_model(std::span<const std::byte> bytes) { return *tflite::GetModel(bytes.data()); }

tflite::TensorType tensor_type(DType dtype);
std::optional<DType> dtype_of(tflite::TensorType type);  // nullopt: strings and other types that no tensor of Wherry's holds

}  // namespace wherry
