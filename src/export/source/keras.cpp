// Keras 3: one layer class a block, channels last.
#include "base/text.h"
#include "export/source/cut.h"
#include "export/source/keras_scope.h"
#include "export/source/python_text.h"
#include "export/source/source.h"
#include "ir/outline.h"

#include <fmt/format.h>

namespace wherry::source {

namespace {

constexpr std::string_view names_source = R"py(
NAMES = {
    "alpha": "weight",
    "beta": "bias",
    "embeddings": "weight",
    "gamma": "weight",
    "kernel": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
)py";

std::string rows_of(std::string_view definition) {
  PythonText text;
  text.raw(definition);
  return text.text();
}

std::string head(const KerasContext& context, const SourceOptions& options, const std::string& body) {
  PythonText out;
  const Scope& scope = context.program.body();
  out.docstring(fmt::format("{} in Keras, written by Wherry{}.", scope.name.empty() ? "model" : scope.name,
                            options.origin.empty() ? "" : " from " + options.origin));
  out.blank();
  if (context.underscores) out.statement("import re"), out.blank();
  out.statement("import keras");
  out.statement("import numpy as np");
  std::vector<std::string> parts;
  if (mentions(body, "layers.")) parts.emplace_back("layers");
  if (mentions(body, "ops.")) parts.emplace_back("ops");
  if (!parts.empty()) out.statement("from keras import " + join(parts, ", "));
  out.statement("from safetensors.numpy import load_file");
  out.blank();
  out.statement(fmt::format("__all__ = [{}, \"load_weights\"]", python_string(context.classes.back().front())));
  return out.text() + "\n";
}

// Calling a model on inputs without numbers makes its variables.
std::string symbolic_inputs(const Use& body) {
  std::vector<std::string> inputs;
  for (const Type& type : body.inputs) {
    Ints shape(type.shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i)
      shape[static_cast<std::size_t>(border_order(type)[i])] = type.shape[i].known() ? type.shape[i].size() : 1;
    const std::string dtype = type.dtype == DType::float32 ? "" : fmt::format(", dtype=\"{}\"", name(type.dtype));
    inputs.push_back(fmt::format("keras.Input(batch_shape={}{})", python_literal(shape), dtype));
  }
  return inputs.size() == 1 ? inputs[0] : fmt::format("[{}]", join(inputs, ", "));
}

std::string tail(const KerasContext& context, const SourceOptions& options) {
  PythonText out;
  out.open(options.weights.empty() ? "def load_weights(model, path):"
                                   : fmt::format("def load_weights(model, path={}):", python_string(options.weights)));
  out.docstring("The model with the weights of a safetensors file, which has PyTorch's names and orders of axes.");
  out.statement("arrays = load_file(path)");
  if (context.underscores) {  // which TensorFlow does not take at the beginning of a name
    out.statement("keys = {re.sub(\"(^|[.])_+\", r\"\\1\", key): key for key in arrays}");
    out.statement("keys = {name.replace(\".\", \"-\"): key for name, key in keys.items()}");
  } else {
    out.statement("keys = {key.replace(\".\", \"-\"): key for key in arrays}");
  }
  out.statement(fmt::format("model({})", symbolic_inputs(context.program.body().uses.front())));
  out.open("for variable in model.weights:");
  out.statement("*layer, name = variable.path.split(f\"{model.name}/\", 1)[1].split(\"/\")");
  out.statement("key = keys.get(\"-\".join([*layer, name]))");
  out.statement("array = arrays[key or keys[\"-\".join([*layer, NAMES[name]])]]");
  out.open("if name == \"kernel\" and key is None:");
  out.statement("array = np.moveaxis(array, (0, 1), (-1, -2))");
  out.close();
  out.statement("variable.assign(array.reshape(variable.shape))");
  out.close();
  out.statement("return model");
  return out.text();
}

}  // namespace

SourceCode write_keras(const Program& program, const std::vector<std::vector<KerasGraph>>& uses, const SourceOptions& options,
                       Diagnostics& diagnostics) {
  KerasContext context{.program = program, .uses = uses, .diagnostics = diagnostics};
  for (const auto& [key, tensor] : weights_of(program.graph)) context.weights.insert(key);
  for (const char* name : {"NAMES", "load_weights", "load_file", "sides", "layers", "ops", "keras", "np"})
    context.module_names.reserve(name);
  for (const Scope& scope : program.scopes) {
    Names none;
    context.params.push_back(parameter_names(scope, none));
  }
  std::string classes;
  for (std::size_t i = 0; i < program.scopes.size(); ++i)
    for (const std::string& text : keras_scope(context, i)) classes += text + "\n\n";
  std::string body = rows_of(names_source) + "\n\n";
  for (const std::string& definition : context.definitions) body += definition + "\n\n";
  body += classes;
  return {head(context, options, body) + body + tail(context, options), context.classes.back().front()};
}

}  // namespace wherry::source
