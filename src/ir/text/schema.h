// The JSON Schema (draft 2020-12) of the text form, from the table of operators: what editors complete and check with.
#pragma once

#include "ir/op_def.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

nlohmann::ordered_json text_schema(const OpTable& ops);

}  // namespace wherry
