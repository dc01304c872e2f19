// What KerasEntry::said and KerasNode::when mean for a layer of the text: in numbers for one use, and as Python for all of them.
#pragma once

#include "export/source/program.h"
#include "export/source/python_expression.h"
#include "ops/keras.h"

namespace wherry::source {

// What the text says, where a block is used with these parameters; nothing where it cannot be evaluated.
std::optional<Attr> value_in(const TextValue& text, const Use& use);

// Whether some argument that `said` names depends on the block's parameters.
bool is_open(const Step& step, std::string_view said);
bool is_plain(std::string_view said);  // one argument, as it is
bool says(const Step& step, std::string_view said, const Use& use, const KerasValue& value);
std::optional<bool> holds(const Step& step, std::string_view when, const Use& use);

// As Python, over the block's parameters. `as_pairs` is set where sides() is needed to make pairs of four numbers.
std::string said_text(const Step& step, std::string_view said, const NameOf& names, bool as_pairs);
// Whether the argument behind "sides(…)" is a number for each end in this use.
bool gives_ends(const Step& step, std::string_view said, const Use& use);

// Values of a configuration or call.
std::string keras_text(const std::string& name, const KerasValue& value);
std::string float_text(float value);

}  // namespace wherry::source
