// Model → text. write(parse(text)) is text for every text that write made.
#pragma once

#include "ir/model.h"

namespace wherry {

std::string write_yaml(const Model& model);
std::string write_json(const Model& model);

}  // namespace wherry
