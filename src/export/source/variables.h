// Names for the values of a scope in generated code.
#pragma once

#include "export/source/program.h"
#include "export/source/python_expression.h"

namespace wherry::source {

// Of the scope's inputs and of each step's result. A result takes the name of a value that nothing needs any more (x, y, z),
// else its layer's own.
struct Variables {
  std::vector<std::string> inputs, steps;
  // The text of what a step takes: "x", "halves[1]". Needs: an input or a step's result.
  std::string text(const Scope& scope, const Ref& ref) const;
};
Variables name_variables(const Scope& scope, Names& names);

// Parameters' names in Python: in → in_channels, out → out_channels, words of Python with a "_".
std::map<std::string, std::string> parameter_names(const Scope& scope, Names& names);

// ---- operators' holes -----------------------------------------------------------------------------------------------

// The source slot of an operator's step.
SourceSlot slot_of(const Program& program, const Step& step);

// What the layer says for an attribute or hyperparameter, as Python; nothing where it is the default. `prefix`: "torch.", before a
// data type's name.
std::optional<std::string> argument_text(const Step& step, std::string_view name, std::string_view prefix, const NameOf& names);
std::string default_text(const OpDef& op, std::string_view name, std::string_view prefix);
bool is_input(const OpDef& op, std::string_view name);

// "16, 48, stride=2": of a block's constructor.
std::string block_arguments(const Scope& block, const Step& step, const std::map<std::string, std::string>& block_params,
                            const NameOf& names);
// "in_channels, out_channels, kernel=1": of its definition. `late`: defaults that follow from other parameters, "mid", to be set
// where they are None.
std::vector<std::string> block_parameters(const Scope& block, const std::map<std::string, std::string>& names,
                                          std::vector<std::pair<std::string, std::string>>& late);

}  // namespace wherry::source
