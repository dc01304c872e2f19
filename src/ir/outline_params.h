// What differs between the instances of a block becomes its parameters, few and well named.
#pragma once

#include "ir/outline_merge.h"

namespace wherry::outlining {

struct Parameter {
  std::string name;
  std::optional<TextValue> fallback;  // none: every instance says it
  std::vector<Attr> values;           // by instance
  Values fallbacks;                   // what the fallback comes to, by instance
};

// Gives every argument that differs its expression, every layer that some instances lack its `when`, and returns the
// parameters that these speak of, in the order in which a reader wants them.
std::vector<Parameter> parametrize(Template& block);

}  // namespace wherry::outlining
