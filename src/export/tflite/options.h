// An operator's options table, found and filled by the schema's own names.
#pragma once

#include "ops/tfl.h"
#include "tflite_schema/schema_generated.h"

namespace wherry {

// The enum's value for "CONV_2D"; CHECKs that the schema has it.
tflite::BuiltinOperator builtin_operator(std::string_view builtin);

// What Operator's two option fields hold: at most one of them is set.
struct WrittenOptions {
  tflite::BuiltinOptions type = tflite::BuiltinOptions::NONE;
  tflite::BuiltinOptions2 type2 = tflite::BuiltinOptions2::NONE;
  flatbuffers::Offset<void> table;
};

// Writes the table of node's builtin, also where it is empty. CHECKs that it has every option the node gives, of that kind.
WrittenOptions write_options(flatbuffers::FlatBufferBuilder& builder, const TflNode& node);

}  // namespace wherry
