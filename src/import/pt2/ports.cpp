// The importer's part that gives the program's inputs and outputs their names.
#include "import/pt2/importer.h"
#include "import/pt2/pytree.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::pt2 {

void Importer::add_inputs(Scope& scope) {
  std::vector<std::string> names = input_names(archive_, program_);
  const auto is_users = [](const Spec& spec) { return spec.kind == "user_input" || spec.kind == "constant_input"; };
  const auto count = std::count_if(program_.inputs.begin(), program_.inputs.end(), is_users);
  if (names.size() != static_cast<std::size_t>(count)) names.clear();
  std::size_t next = 0;
  for (const Spec& spec : program_.inputs) {
    const std::string_view own = spec.arg.name;
    const std::string name = is_users(spec) && !names.empty() ? names[next++] : std::string(own);
    if (spec.kind == "constant_input") continue;  // fixed when the program was exported
    if (spec.arg.kind != Argument::tensor) {
      if (spec.kind == "user_input" && (spec.arg.kind == Argument::none || spec.arg.kind == Argument::attr)) continue;
      diagnostics_.add({.code = "E203",
                        .message = fmt::format("the program's input '{}' is not a tensor", name),
                        .next = "export it with a fixed value, or pass it as a tensor"});
      continue;
    }
    if (spec.kind == "user_input") {
      const std::optional<Type> type = stated(scope, own);
      if (!type) archive_.damaged(fmt::format("input '{}' has no type", own), "E104");
      Shape known;
      std::copy_if(type->shape.begin(), type->shape.end(), std::back_inserter(known), [](const Dim& d) { return d.known(); });
      const bool fits = std::all_of(known.begin(), known.end(), [](const Dim& d) { return d.size() >= 0; });
      if (!fits || element_count(known).size() > (std::int64_t{1} << 40))
        archive_.damaged(fmt::format("input '{}' is {}: a size is negative or too large", own, text(*type)), "E503");
      const std::string port = unique_port(graph_.inputs, name);
      const ValueId value = graph_.add_value({port, *type, {}});
      graph_.inputs.push_back({port, value});
      scope.names[own] = aliases_.own(value, Aliases::Origin::input, port);
    } else if (spec.kind == "parameter" || spec.kind == "buffer" || spec.kind == "tensor_constant") {
      const Aliases::Id id = aliases_.own(absent, Aliases::Origin::weight, std::string(spec.target));
      scope.names[own] = id;
      pending_.emplace(id, &spec);
    } else {
      diagnostics_.add({.code = "E203",
                        .message = fmt::format("the program's input '{}' is a {}, which Wherry does not read", name, spec.kind),
                        .next = "export the model without it"});
    }
  }
}

void Importer::add_outputs(Scope& scope) {
  std::vector<std::string> names = output_names(archive_, program_);
  const auto is_users = [](const Spec& spec) { return spec.kind == "user_output" || spec.kind == "loss_output"; };
  const auto count = std::count_if(program_.outputs.begin(), program_.outputs.end(), is_users);
  if (names.size() != static_cast<std::size_t>(count)) names.clear();
  std::size_t next = 0;
  for (const Spec& spec : program_.outputs) {
    if (is_users(spec)) {
      const std::string name = names.empty() ? fmt::format("output_{}", next) : names[next];
      ++next;
      add_output(scope, spec, name);
    } else if (spec.kind.ends_with("_mutation")) {
      diagnostics_.add({.code = "E204",
                        .message = fmt::format("the program changes its {} '{}'", spec.kind.substr(0, spec.kind.size() - 9), spec.target),
                        .next = "call model.eval() before torch.export.export, or keep the state outside of the model"});
    } else {
      diagnostics_.add({.code = "E203",
                        .message = fmt::format("the program has an output of the kind {}, which Wherry does not read", spec.kind),
                        .next = "export the model's forward for inference"});
    }
  }
  if (graph_.outputs.empty() && !diagnostics_.has_errors()) archive_.damaged("the program gives no tensor", "E104");
}

void Importer::add_output(Scope& scope, const Spec& spec, const std::string& name) {
  if (spec.arg.kind == Argument::none) return;
  if (spec.arg.kind != Argument::tensor) {
    diagnostics_.add({.code = "E203",
                      .message = fmt::format("the program's output '{}' is not a tensor", name),
                      .next = "return tensors only; compute numbers outside of the model"});
    return;
  }
  try {
    graph_.outputs.push_back({unique_port(graph_.outputs, name), read(scope, spec.arg.name)});
  } catch (const Failure& failure) {
    for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
  }
}

std::string Importer::unique_port(const std::vector<Port>& ports, const std::string& wanted) const {
  std::string name = wanted;
  const auto taken = [&] { return std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.name == name; }); };
  for (int i = 1; taken(); ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

}  // namespace wherry::pt2
