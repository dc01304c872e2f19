// PyTorch: one torch.nn.Module class a block.
#include "base/text.h"
#include "export/source/python_text.h"
#include "export/source/source.h"
#include "export/source/torch_scope.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

class TorchFile {
 public:
  TorchFile(const Program& program, const SourceOptions& options, Diagnostics& diagnostics)
      : options_(options), context_{.program = program, .diagnostics = diagnostics} {
    for (const Scope& scope : program.scopes)
      context_.classes.push_back(context_.module_names.unique(class_name(scope.block ? scope.name : model_name(scope))));
    for (const Scope& scope : program.scopes) {
      Names none;
      context_.params.push_back(parameter_names(scope, none));
    }
  }

  SourceCode write() {
    std::vector<std::string> scopes;
    for (std::size_t i = 0; i < context_.program.scopes.size(); ++i) scopes.push_back(torch_scope(context_, i));
    std::string body;
    for (const std::string& helper : context_.helpers) body += helper + "\n\n";
    for (const auto& [key, definition] : context_.layer_classes) body += definition + "\n\n";
    for (const std::string& scope : scopes) body += scope + "\n\n";
    return {head(body) + body + tail(), context_.classes.back()};
  }

 private:
  static std::string model_name(const Scope& scope) { return scope.name.empty() ? "model" : scope.name; }

  std::string head(const std::string& body) const {
    PythonText out;
    const Scope& scope = context_.program.body();
    out.docstring(
        fmt::format("{} in PyTorch, written by Wherry{}.", model_name(scope), options_.origin.empty() ? "" : " from " + options_.origin));
    out.blank();
    const auto import = [&](std::string_view word, const std::string& statement) {
      if (mentions(body, word)) out.statement(statement);
    };
    import("functools.", "import functools");
    import("math.", "import math");
    import("OrderedDict(", "from collections import OrderedDict");
    out.blank();
    import("torch.", "import torch");
    import("F.", "import torch.nn.functional as F");
    out.statement("from safetensors.torch import load_file");
    import("nn.", "from torch import nn");
    out.blank();
    out.statement(fmt::format("__all__ = [{}, \"load_weights\"]", python_string(context_.classes.back())));
    return out.text() + "\n\n";
  }

  std::string tail() const {
    PythonText out;
    out.open(options_.weights.empty() ? "def load_weights(model, path):"
                                      : fmt::format("def load_weights(model, path={}):", python_string(options_.weights)));
    out.docstring("The model with the weights of a safetensors file.");
    out.statement("model.load_state_dict(load_file(path))");
    out.statement("return model");
    return out.text();
  }

  const SourceOptions& options_;
  TorchContext context_;
};

}  // namespace

SourceCode write_torch(const Model& model, const Graph& graph, const OpTable& ops, const SourceOptions& options, Diagnostics& diagnostics) {
  const Program program = read_program(model, graph, ops);
  return TorchFile(program, options, diagnostics).write();
}

}  // namespace wherry::source
