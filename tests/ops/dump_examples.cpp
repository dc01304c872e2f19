// Writes every operator example as source code, with its tensors and the reference evaluator's results, for tests/python/examples.py:
// FOLDER/examples.json says what lies where in FOLDER/examples.bin.
#include "base/files.h"
#include "export/source/source.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "ops/all_ops.h"
#include "ops/examples.h"
#include "runtime/evaluate.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace wherry {
namespace {

using nlohmann::ordered_json;

class Dump {
 public:
  ordered_json tensor(const Tensor& t) {
    const Tensor dense = t.contiguous();
    ordered_json entry{{"dtype", name(t.dtype())}, {"shape", t.sizes()}, {"offset", bytes_.size()}};
    bytes_.append(reinterpret_cast<const char*>(dense.data()), dense.bytes());
    return entry;
  }

  // The model of the one operator in source code of each framework, with its weights by key and its inputs in order.
  ordered_json example(const Example& e) {
    const Model model = outline(e.graph, all_ops());
    const Weights weights = weights_of(e.graph);
    Diagnostics diagnostics;
    FlattenOptions options;
    options.weights = &weights;
    const Graph graph = flatten(model, all_ops(), options, diagnostics);
    ordered_json entry{{"op", e.node().op->name}, {"example", e.text}};
    const source::SourceCode torch = source::write_torch(model, graph, all_ops(), {}, diagnostics);
    const source::SourceCode jax = source::write_jax(model, graph, all_ops(), {}, diagnostics);
    entry["torch"] = {{"text", torch.text}, {"entry", torch.entry}};
    entry["jax"] = {{"text", jax.text}, {"entry", jax.entry}};
    diagnostics.throw_if_errors();
    entry["weights"] = ordered_json::object();
    for (const auto& [key, value] : weights) entry["weights"][key] = tensor(value);
    entry["inputs"] = ordered_json::array();
    for (const Tensor& x : e.inputs) entry["inputs"].push_back(tensor(x));
    entry["outputs"] = ordered_json::array();
    for (const Tensor& y : Evaluator(e.graph, all_ops()).run(e.inputs)) entry["outputs"].push_back(tensor(y));
    return entry;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace
}  // namespace wherry

int main(int argc, char** argv) {
  using namespace wherry;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  Dump dump;
  ordered_json list = ordered_json::array();
  for (const OpDef* op : all_ops().all())
    for (const std::string_view text : op->examples) list.push_back(dump.example(parse_example(all_ops(), text)));
  write_text(folder / "examples.bin", dump.bytes());
  write_text(folder / "examples.json", list.dump(1));
}
