// wherry ops [NAME]: the operators, or all that is known of one. Everything printed here is derived from the operator table.
#include "base/text.h"
#include "cli/session.h"
#include "ir/text/schema.h"
#include "ops/all_ops.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct OpsOptions {
  std::string name;
  bool markdown = false, schema = false, errors = false;
};

std::string first_sentence(std::string_view doc) {
  const std::size_t dot = doc.find(". ");
  return std::string(doc.substr(0, dot == std::string_view::npos ? doc.size() : dot + 1));
}

std::string reference_of(const OpDef& op) { return op.eval ? "yes" : op.expand ? "expands" : "no"; }
std::string tflite_of(const OpDef& op) {
  if (!op.tflite.builtin.empty()) return std::string(op.tflite.builtin);
  return op.tflite.lower ? "yes" : op.expand ? "expands" : "no";
}

// Each foreign name once, whatever opset it is of.
std::vector<std::string> foreign_names(const std::vector<ForeignMap>& maps) {
  std::vector<std::string> names;
  for (const ForeignMap& map : maps)
    if (std::find(names.begin(), names.end(), map.target) == names.end()) names.emplace_back(map.target);
  return names;
}

std::string default_of(const std::optional<Attr>& fallback) { return fallback ? text(*fallback) : "required"; }

nlohmann::ordered_json describe(const OpDef& op) {
  nlohmann::ordered_json j = {{"name", op.name}, {"doc", op.doc}};
  for (const Input& input : op.inputs) {
    const bool parameter = input.role == Role::parameter || input.role == Role::optional_parameter;
    const bool optional = input.role == Role::optional || input.role == Role::optional_parameter;
    j["inputs"].push_back({{"name", input.name},
                           {"doc", input.doc},
                           {"parameter", parameter},
                           {"optional", optional},
                           {"variadic", input.role == Role::variadic}});
  }
  const auto argument = [&](const auto& def) {
    nlohmann::ordered_json a = {{"name", def.name},
                                {"kind", name(def.kind)},
                                {"default", def.fallback ? nlohmann::ordered_json(text(*def.fallback)) : nlohmann::ordered_json()},
                                {"doc", def.doc}};
    return a;
  };
  for (const HyperDef& def : op.hyper) j["hyperparameters"].push_back(argument(def));
  for (const AttrDef& def : op.attrs) j["attributes"].push_back(argument(def));
  for (std::size_t i = 0; i < op.rules.size(); ++i) j["rules"].push_back(fmt::format("{}.r{}: {}", op.name, i + 1, op.rules[i].text));
  for (const std::string& target : foreign_names(op.torch)) j["torch"].push_back(target);
  for (const std::string& target : foreign_names(op.onnx)) j["onnx"].push_back(target);
  j["reference"] = reference_of(op);
  j["tflite"] = tflite_of(op);
  j["source"] = {{"torch", op.source.torch}, {"keras", op.source.keras}, {"jax", op.source.jax}};
  for (const std::string_view example : op.examples) j["examples"].push_back(example);
  return j;
}

std::string card(const OpDef& op) {
  std::string out = fmt::format("{}\n  {}\n", op.name, op.doc);
  if (!op.inputs.empty()) out += "\ninputs\n";
  for (const Input& input : op.inputs) {
    const char* role = input.role == Role::optional             ? " (optional)"
                       : input.role == Role::variadic           ? " (one or more)"
                       : input.role == Role::parameter          ? " (weight)"
                       : input.role == Role::optional_parameter ? " (weight, optional)"
                                                                : "";
    out += fmt::format("  {:<16} {}{}\n", input.name, input.doc, role);
  }
  const auto arguments = [&](const char* title, const auto& defs) {
    if (!defs.empty()) out += fmt::format("\n{}\n", title);
    for (const auto& def : defs)
      out += fmt::format("  {:<16} {}, {}{}{}\n", def.name, name(def.kind), def.fallback ? "default " + text(*def.fallback) : "required",
                         def.doc.empty() ? "" : ": ", def.doc);
  };
  arguments("hyperparameters that shape the weights", op.hyper);
  arguments("hyperparameters", op.attrs);
  if (!op.rules.empty()) out += "\nrules\n";
  for (std::size_t i = 0; i < op.rules.size(); ++i) out += fmt::format("  {}.r{}  {}\n", op.name, i + 1, op.rules[i].text);
  out += fmt::format("\ntargets\n  reference        {}\n  tflite           {}\n", reference_of(op), tflite_of(op));
  if (!op.torch.empty() || !op.onnx.empty()) out += "\nimported from\n";
  for (const std::string& target : foreign_names(op.torch)) out += fmt::format("  {}\n", target);
  for (const std::string& target : foreign_names(op.onnx)) out += fmt::format("  ONNX {}\n", target);
  if (!op.examples.empty()) out += "\nexamples\n";
  for (const std::string_view example : op.examples) out += fmt::format("  {}\n", example);
  out.pop_back();
  return out;
}

std::string markdown_card(const OpDef& op) {
  std::string out = fmt::format("## {}\n\n{}\n\n", op.name, op.doc);
  out += "| argument | kind | default | meaning |\n|---|---|---|---|\n";
  for (const Input& input : op.inputs) {
    const bool parameter = input.role == Role::parameter || input.role == Role::optional_parameter;
    const bool optional = input.role == Role::optional || input.role == Role::optional_parameter;
    out += fmt::format("| `{}` | {}{} | | {} |\n", input.name, optional ? "optional " : "",
                       parameter                      ? "weight"
                       : input.role == Role::variadic ? "tensors"
                                                      : "tensor",
                       input.doc);
  }
  const auto rows = [&](const auto& defs) {
    for (const auto& def : defs)
      out += fmt::format("| `{}` | {} | {} | {} |\n", def.name, name(def.kind), default_of(def.fallback), def.doc);
  };
  rows(op.hyper);
  rows(op.attrs);
  for (std::size_t i = 0; i < op.rules.size(); ++i)
    out += fmt::format("{}- `{}.r{}` {}\n", i == 0 ? "\nRules:\n\n" : "", op.name, i + 1, op.rules[i].text);
  std::vector<std::string> from;
  for (const std::string& target : foreign_names(op.torch)) from.push_back(fmt::format("`{}`", target));
  for (const std::string& target : foreign_names(op.onnx)) from.push_back(fmt::format("ONNX `{}`", target));
  if (!from.empty()) out += fmt::format("\nImported from {}.\n", join(from, ", "));
  out += "\n```yaml\n";
  for (const std::string_view example : op.examples) out += fmt::format("{}\n", example);
  return out + "```\n\n";
}

// PyTorch's functions that several operators stand for: a table of lines, and the names of those that take more.
std::string composition_list() {
  std::string lines;
  std::vector<std::string> code;
  for (const ForeignMap& map : all_ops().compositions())
    if (map.formula.empty())
      code.push_back(fmt::format("`{}`", map.target));
    else
      lines += fmt::format("| `{}` | `{}` |\n", map.target, join(split(map.formula, '|'), "\\|"));
  return fmt::format(
      "## Compositions\n\nFunctions of PyTorch that several of these operators stand for. `a|1` is the argument `a`, or 1 where it is "
      "not given.\n\n| PyTorch | meaning |\n|---|---|\n{}\nWritten in code, because a line does not say them: {}.\n",
      lines, join(code, ", "));
}

std::string markdown() {
  std::string out =
      "# Operators\n\nWritten by `wherry ops --markdown` from the operator table; do not edit.\n\n"
      "Tensors hold numbers and truth values, no strings. An operator does what it does when a model is used, not in training.\n\n"
      "| operator | summary | PyTorch | ONNX | reference | TFLite |\n|---|---|---|---|---|---|\n";
  for (const OpDef* op : all_ops().all())
    out += fmt::format("| [`{0}`](#{0}) | {1} | {2} | {3} | {4} | {5} |\n", op->name, first_sentence(op->doc),
                       op->torch.empty() ? "" : std::to_string(op->torch.size()), join(foreign_names(op->onnx), ", "), reference_of(*op),
                       tflite_of(*op));
  out += "\n";
  for (const OpDef* op : all_ops().all()) out += markdown_card(*op);
  return out + composition_list();
}

void say_composition(Session& session, const ForeignMap& map) {
  if (session.json) return session.print({{"torch", {map.target}}, {"formula", map.formula}});
  session.say(fmt::format("{}\n  {}\n", map.target, map.formula.empty() ? "several operators in a row" : map.formula));
}

std::string error_list() {
  std::string out =
      "# Error codes\n\nWritten by `wherry ops --errors` from src/base/codes.def; do not edit.\n\n| code | meaning | next step "
      "|\n|---|---|---|\n";
  for (const CodeMeaning& code : all_codes()) out += fmt::format("| {} | {} | {} |\n", code.code, code.meaning, code.next);
  return out;
}

void run(Session& session, const OpsOptions& options) {
  if (options.schema) return session.print(text_schema(all_ops()));
  if (options.markdown) return fmt::print("{}", markdown());
  if (options.errors) return fmt::print("{}", error_list());
  if (!options.name.empty()) {
    const OpTable::Foreign* torch = all_ops().torch(options.name);
    if (torch && !torch->op) return say_composition(session, *torch->map);
    const OpDef* op = torch ? torch->op : all_ops().find(options.name);
    if (!op) {
      const std::vector<std::string> known = options.name.starts_with("aten.") ? all_ops().torch_targets() : all_ops().names();
      fail({.code = "E201",
            .message = fmt::format("no operator '{}'{}", options.name, did_you_mean(options.name, known)),
            .next = "'wherry ops' lists them; docs/adding-an-operator.md tells how to add one"});
    }
    if (session.json)
      session.print(describe(*op));
    else
      session.say(card(*op));
    return;
  }
  if (session.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const OpDef* op : all_ops().all()) list.push_back(describe(*op));
    return session.print(list);
  }
  std::string out = fmt::format("{:<22} {:<10} {:<18} {}\n", "operator", "reference", "tflite", "meaning");
  for (const OpDef* op : all_ops().all()) {
    std::string meaning = first_sentence(op->doc);
    if (meaning.size() > 27) meaning = meaning.substr(0, 26) + "…";
    out += fmt::format("{:<22} {:<10} {:<18} {}\n", op->name, reference_of(*op), tflite_of(*op).substr(0, 18), meaning);
  }
  session.say(out + fmt::format("{} operators; 'wherry ops NAME' shows all that is known of one", all_ops().all().size()));
}

}  // namespace

void add_ops(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "ops", "List the operators, or show all that is known of one",
                                  "  wherry ops\n"
                                  "  wherry ops conv2d\n"
                                  "  wherry ops aten.lerp.Scalar\n"
                                  "  wherry ops --schema > wherry.schema.json");
  auto options = std::make_shared<OpsOptions>();
  command->add_option("name", options->name, "An operator, ours or PyTorch's")->type_name("NAME");
  command->add_flag("--markdown", options->markdown, "Print docs/operators.md");
  command->add_flag("--errors", options->errors, "Print docs/errors.md");
  command->add_flag("--schema", options->schema, "Print the text form's JSON Schema, for editors");
  command->callback([&session, options] { run(session, *options); });
}

}  // namespace wherry
