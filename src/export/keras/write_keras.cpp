#include "export/keras/write_keras.h"

#include "export/stored_zip.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <system_error>

namespace wherry {

namespace fs = std::filesystem;

namespace {

// The tensors that a call takes, in order.
std::vector<int> taken(const KerasGraph& graph, const KerasNode& node) {
  std::vector<int> list;
  const auto take = [&](const KerasRef& ref) {
    if (!graph.tensors[static_cast<std::size_t>(ref.tensor)].constant) list.push_back(ref.tensor);
  };
  for (const KerasValue& arg : node.args) {
    if (const auto* ref = std::get_if<KerasRef>(&arg)) take(*ref);
    if (const auto* refs = std::get_if<std::vector<KerasRef>>(&arg)) std::for_each(refs->begin(), refs->end(), take);
  }
  return list;
}

struct Walk {
  const KerasGraph& graph;
  std::vector<int> met, finished;  // by node: when a search from the outputs met it; nodes, inputs before users
  int count = 0;

  void visit(int node) {
    const auto at = static_cast<std::size_t>(node);
    if (met[at] >= 0) return;
    met[at] = count++;
    for (const int tensor : taken(graph, graph.nodes[at])) visit(graph.tensors[static_cast<std::size_t>(tensor)].node);
    finished.push_back(node);
  }
};

// A file beside the output, gone when it is no longer needed.
class Draft {
 public:
  explicit Draft(const fs::path& beside) : path_(beside.string() + ".h5") {}
  ~Draft() {
    std::error_code error;
    fs::remove(path_, error);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

bool is_operation(const KerasNode& node) { return node.layer.starts_with("ops."); }

std::vector<int> keras_layer_order(const KerasGraph& graph) {
  const std::size_t n = graph.nodes.size();
  Walk walk{graph, std::vector<int>(n, -1), {}};
  for (const Port& port : graph.outputs) walk.visit(graph.tensors[static_cast<std::size_t>(port.value)].node);
  std::vector<int> depth(n, 0);
  for (auto node = walk.finished.rbegin(); node != walk.finished.rend(); ++node)
    for (const int tensor : taken(graph, graph.nodes[static_cast<std::size_t>(*node)])) {
      int& above = depth[static_cast<std::size_t>(graph.tensors[static_cast<std::size_t>(tensor)].node)];
      above = std::max(above, depth[static_cast<std::size_t>(*node)] + 1);
    }
  std::vector<int> order = walk.finished;
  for (std::size_t i = 0; i < n; ++i)  // an input that nothing takes is listed all the same
    if (walk.met[i] < 0 && graph.nodes[i].layer == "InputLayer") order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const auto x = static_cast<std::size_t>(a), y = static_cast<std::size_t>(b);
    return depth[x] != depth[y] ? depth[x] > depth[y] : walk.met[x] < walk.met[y];
  });
  return order;
}

void write_keras(const KerasGraph& graph, const std::string& provenance, AtomicFile& file) {
  const Draft weights(file.temporary());
  write_keras_weights(graph, weights.path());
  StoredZip zip(file);
  zip.add("metadata.json", keras_metadata());
  zip.add("config.json", keras_config(graph));
  zip.add_file("model.weights.h5", weights.path());
  zip.add(std::string(keras_provenance_entry), provenance);
  zip.finish();
}

}  // namespace wherry
