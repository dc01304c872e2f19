// An operator's options as the schema names them.
#pragma once

#include "ops/tfl.h"
#include "tflite_schema/schema_generated.h"

namespace wherry {

// Every field of the operator's options table by name: enum fields by word, element types as data types; a field that the file leaves
// out has the format's default. Empty where the operator has no options, or some that the schema does not know.
std::vector<TflOption> read_options(const tflite::Operator& op);

}  // namespace wherry
