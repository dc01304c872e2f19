// Writes every operator example as source code, with its tensors and the reference evaluator's results, for tests/python/examples.py:
// FOLDER/examples.json says what lies where in FOLDER/examples.bin. Each is written as .onnx too, in three opsets.
#include "base/files.h"
#include "export/onnx/write_onnx.h"
#include "export/source/source.h"
#include "ir/flatten.h"
#include "ir/outline.h"
#include "lower/lower_onnx.h"
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

// The opsets that the examples are written in: the oldest, the one that PyTorch exports, and the default.
constexpr int opsets[] = {oldest_onnx_opset, 18, default_onnx_opset};

// FOLDER/<number>.<opset>.onnx, or why there is none.
ordered_json write_examples(const Example& e, const std::filesystem::path& folder, std::size_t number) {
  ordered_json out = ordered_json::object();
  for (const int opset : opsets) {
    Diagnostics diagnostics;
    const OnnxGraph graph = lower_to_onnx(e.graph, all_ops(), opset, diagnostics);
    const std::string name = fmt::format("{}.{}.onnx", number, opset);
    if (diagnostics.has_errors()) {
      out[std::to_string(opset)] = diagnostics.all().front().message;
      continue;
    }
    AtomicFile file(folder / name);
    write_onnx(graph, {}, file);
    file.commit();
    out[std::to_string(opset)] = name;
  }
  return out;
}

}  // namespace
}  // namespace wherry

int main(int argc, char** argv) {
  using namespace wherry;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  Dump dump;
  ordered_json list = ordered_json::array();
  for (const OpDef* op : all_ops().all())
    for (const std::string_view text : op->examples) {
      const Example example = parse_example(all_ops(), text);
      list.push_back(dump.example(example));
      list.back()["onnx"] = write_examples(example, folder, list.size());
    }
  write_text(folder / "examples.bin", dump.bytes());
  write_text(folder / "examples.json", list.dump(1));
}
