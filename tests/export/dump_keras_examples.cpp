// Writes every operator example as a .keras archive and as Keras source, with its inputs and the reference evaluator's results, for
// tests/python/test_keras_operators.py: FOLDER/examples.json says what lies where in FOLDER/examples.bin.
#include "base/files.h"
#include "cli/source_code.h"
#include "export/keras/write_keras.h"
#include "export/safetensors/write_safetensors.h"
#include "ir/outline.h"
#include "lower/lower_keras.h"
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
  explicit Dump(std::filesystem::path folder) : folder_(std::move(folder)) {}

  ordered_json example(const Example& e) {
    ordered_json entry{{"example", e.text}, {"inputs", ordered_json::array()}, {"outputs", ordered_json::array()}};
    Diagnostics diagnostics;
    const LoweredKeras lowered = lower_to_keras(e.graph, all_ops(), {}, diagnostics);
    if (diagnostics.has_errors()) {
      entry["refused"] = diagnostics.all().front().message;
      return entry;
    }
    const std::string name = fmt::format("{:03}.keras", number_++);
    AtomicFile file(folder_ / name);
    write_keras(lowered.graph, "{}", file);
    file.commit();
    entry["file"] = name;
    entry["layers"] = text(lowered.graph);
    write_source(e, name, entry);
    for (std::size_t i = 0; i < e.inputs.size(); ++i)
      entry["inputs"].push_back(tensor(e.inputs[i], lowered.port_orders.at(e.graph.inputs[i].name)));
    const std::vector<Tensor> results = Evaluator(e.graph, all_ops()).run(e.inputs);
    for (std::size_t i = 0; i < results.size(); ++i) entry["outputs"].push_back(tensor(results[i], lowered.output_orders[i]));
    return entry;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void write_source(const Example& e, const std::string& name, ordered_json& entry) const {
    LoadedSource source;
    source.graph = e.graph;
    const Weights weights = weights_of(e.graph);
    entry["weights"] = name + ".safetensors";
    write_safetensors(weights, folder_ / entry["weights"].get<std::string>());
    try {
      const source::SourceCode code = source_code(source, "keras", {});
      entry["code"] = code.text;
      entry["entry"] = code.entry;
    } catch (const Failure& failure) {
      entry["no_code"] = failure.diagnostics().front().message;
    }
  }

  // As the file takes or gives it.
  ordered_json tensor(const Tensor& t, const std::vector<int>& order) {
    std::vector<int> axes(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) axes[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
    const Tensor dense = t.permuted(axes).contiguous();
    ordered_json entry{{"dtype", name(t.dtype())}, {"shape", dense.sizes()}, {"offset", bytes_.size()}};
    bytes_.append(reinterpret_cast<const char*>(dense.data()), dense.bytes());
    return entry;
  }

  std::filesystem::path folder_;
  std::string bytes_;
  int number_ = 0;
};

}  // namespace
}  // namespace wherry

int main(int argc, char** argv) {
  using namespace wherry;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  Dump dump(folder);
  ordered_json list = ordered_json::array();
  for (const OpDef* op : all_ops().all())
    for (const std::string_view text : op->examples) {
      if (op->inputs.empty()) continue;  // what no input reaches is a constant
      list.push_back(dump.example(parse_example(all_ops(), text)));
    }
  write_text(folder / "examples.bin", dump.bytes());
  write_text(folder / "examples.json", list.dump(1));
}
