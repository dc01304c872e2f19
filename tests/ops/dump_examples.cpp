// Writes every operator example with its tensors and the reference evaluator's results, for tests/python/test_operators.py:
// FOLDER/examples.json says what lies where in FOLDER/examples.bin.
#include "base/files.h"
#include "base/text.h"
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

  // The node's inputs as names that the source text's holes take, with their tensors.
  ordered_json example(const Example& e) {
    const Node& node = e.node();
    ordered_json tensors = ordered_json::object();
    std::map<std::string, std::string, std::less<>> holes;
    const auto value = [&](ValueId id, const std::string& as) -> std::string {
      if (id == absent) return "None";
      const std::optional<Tensor>& constant = e.graph[id].constant;
      if (constant && constant->rank() == 0)
        return is_float(constant->dtype()) ? python_literal(constant->item()) : python_literal(static_cast<std::int64_t>(constant->item()));
      for (std::size_t i = 0; !constant && i < e.inputs.size(); ++i)
        if (e.graph.inputs[i].value == id) tensors[as] = tensor(e.inputs[i]);
      if (constant) tensors[as] = tensor(*constant);
      return as;
    };
    for (std::size_t i = 0; i < node.op->inputs.size(); ++i) {
      const Input& input = node.op->inputs[i];
      const std::string as(input.name);
      if (input.role != Role::variadic) {
        holes[as] = value(i < node.inputs.size() ? node.inputs[i] : absent, as);
        continue;
      }
      std::vector<std::string> list;
      for (std::size_t k = i; k < node.inputs.size(); ++k) list.push_back(value(node.inputs[k], fmt::format("{}{}", as, k - i)));
      holes[as] = "[" + join(list, ", ") + "]";
    }
    ordered_json outputs = ordered_json::array();
    for (const Tensor& y : Evaluator(e.graph, all_ops()).run(e.inputs)) outputs.push_back(tensor(y));
    return {{"op", node.op->name},
            {"example", e.text},
            {"torch", fill_holes(node.op->source.torch, node, holes)},
            {"tensors", tensors},
            {"outputs", outputs}};
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
