// JAX: one function a block, which gives init(key) and apply(params, x).
#include "base/text.h"
#include "export/source/jax_scope.h"
#include "export/source/python_text.h"
#include "export/source/source.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

constexpr std::string_view block_class = R"py(
class Block(NamedTuple):
    """init(key) makes a part's parameters, apply(params, x) uses them."""

    init: Callable
    apply: Callable
)py";

constexpr std::string_view named_function = R"py(
def named(params):
    """The parameters by the names that files of weights have."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {".".join(entry.key for entry in at): leaf for at, leaf in leaves}
)py";

constexpr std::string_view weights_class = R"py(
class Weights(nnx.Module):
    """The weights of one operator by name; calling it gives the arrays."""

    def __init__(self, arrays, *others):
        for name, array in arrays.items():
            variable = nnx.BatchStat if name.startswith("running_") else nnx.Param
            if name not in others:
                setattr(self, name, variable(array))

    def __call__(self):
        variables = {k: v for k, v in vars(self).items() if isinstance(v, nnx.Variable)}
        return {name: variable[...] for name, variable in variables.items()}
)py";

std::string as_rows(std::string_view definition) {
  PythonText text;
  text.raw(definition);
  return text.text();
}

// The definitions that the program's operators use, each once, and their names.
std::vector<std::string> helpers_of(const Program& program, Names& names) {
  std::vector<std::string> helpers;
  for (const Scope& scope : program.scopes)
    for (const Step& step : scope.steps) {
      if (!step.op) continue;
      for (const std::string_view helper : slot_of(program, step).jax_helpers) {
        const std::string rows = as_rows(helper);
        if (std::find(helpers.begin(), helpers.end(), rows) != helpers.end()) continue;
        helpers.push_back(rows);
        names.reserve(rows.substr(4, rows.find('(') - 4));
      }
    }
  return helpers;
}

std::string head(const Program& program, const SourceOptions& options, const std::string& body, const JaxContext& context) {
  PythonText out;
  out.docstring(fmt::format("{} in {}, written by Wherry{}.", program.body().name.empty() ? "model" : program.body().name,
                            context.nnx ? "Flax NNX" : "JAX", options.origin.empty() ? "" : " from " + options.origin));
  out.blank();
  const auto import = [&](std::string_view word, const std::string& statement) {
    if (mentions(body, word)) out.statement(statement);
  };
  import("itertools.", "import itertools");
  import("math.", "import math");
  import("Callable", "from collections.abc import Callable");
  import("NamedTuple", "from typing import NamedTuple");
  out.blank();
  if (mentions(body, "jax.")) out.statement("import jax");
  out.statement("import jax.numpy as jnp");
  import("np.", "import numpy as np");
  import("nnx.", "from flax import nnx");
  out.statement("from safetensors.numpy import load_file");
  out.blank();
  out.statement(fmt::format("__all__ = [{}, \"load_weights\"]", python_string(context.functions.back())));
  return out.text() + "\n\n";
}

std::string tail(const SourceOptions& options, bool nnx) {
  PythonText out;
  out.open(options.weights.empty() ? "def load_weights(model, path):"
                                   : fmt::format("def load_weights(model, path={}):", python_string(options.weights)));
  if (nnx) {
    out.docstring("The model with the weights of a safetensors file.");
    out.statement("arrays = load_file(path)");
    out.statement("state = []");
    out.open("for at, leaf in nnx.to_flat_state(nnx.state(model)):");
    out.statement("array = jnp.asarray(arrays[\".\".join(map(str, at))])");
    out.statement("state.append((at, leaf.replace(array)))");
    out.close();
    out.statement("nnx.update(model, nnx.from_flat_state(state))");
    out.statement("return model");
    return out.text();
  }
  out.docstring("The model's parameters from a safetensors file.");
  out.statement("arrays = load_file(path)");
  out.statement("params = jax.eval_shape(model.init, jax.random.key(0))");
  out.statement("values = [jnp.asarray(arrays[name]) for name in named(params)]");
  out.statement("return jax.tree_util.tree_structure(params).unflatten(values)");
  return out.text();
}

SourceCode write(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics,
                 bool nnx) {
  const Program program = read_program(model, graph, ops);
  JaxContext context{.program = program, .diagnostics = diagnostics, .nnx = nnx};
  for (const char* name : {"Block", "Weights", "named", "load_weights", "load_file", "itertools"}) context.module_names.reserve(name);
  std::string body = as_rows(nnx ? weights_class : block_class) + "\n\n";
  for (const std::string& helper : helpers_of(program, context.module_names)) body += helper + "\n\n";
  for (const Scope& scope : program.scopes) {
    const std::string name = scope.name.empty() ? "model" : scope.name;
    context.functions.push_back(context.module_names.unique(nnx ? class_name(name) : function_name(name)));
  }
  for (const Scope& scope : program.scopes) {
    Names names = context.module_names;
    context.params.push_back(parameter_names(scope, names));
  }
  for (std::size_t i = 0; i < program.scopes.size(); ++i) body += jax_scope(context, i) + "\n\n";
  if (!nnx) body += as_rows(named_function) + "\n\n";
  return {head(program, options, body, context) + body + tail(options, nnx), context.functions.back()};
}

}  // namespace

SourceCode write_jax(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics) {
  return write(model, graph, ops, options, diagnostics, false);
}

SourceCode write_nnx(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics) {
  return write(model, graph, ops, options, diagnostics, true);
}

}  // namespace wherry::source
