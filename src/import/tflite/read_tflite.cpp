#include "import/tflite/read_tflite.h"

#include "base/text.h"
#include "import/foreign.h"
#include "import/tflite/sink_permutes.h"

#include <fmt/format.h>

#include <set>

namespace wherry {

namespace {

// Letters, digits, '_' and '.' as paths in a text have them. Other converters write "model/conv/Relu;model/conv/BiasAdd".
std::string as_path(std::string name) {
  name = name.substr(0, name.find(';'));
  for (char& c : name)
    if (c == '/')
      c = '.';
    else if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_')
      c = '_';
  std::string out;
  for (const std::string& part : split(name, '.'))
    if (!part.empty()) out += (out.empty() ? "" : ".") + part;
  return out.empty() ? "node" : out;
}

Ints channels_first_order(std::size_t rank) {
  Ints order = {0, static_cast<std::int64_t>(rank) - 1};
  for (std::size_t i = 1; i + 1 < rank; ++i) order.push_back(static_cast<std::int64_t>(i));
  return order;
}

Ints inverse(const Ints& order) {
  Ints out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  return out;
}

// Builtins that are one of our operators as its tflite slot says: the slot read backwards.
struct Regular {
  std::string pairs;
  ForeignMap map;
  OpTable::Foreign meaning;
};
std::map<std::string, Regular, std::less<>> regular_builtins(const OpTable& ops) {
  std::map<std::string, Regular, std::less<>> out;
  for (const OpDef* op : ops.all()) {
    const std::string builtin(op->tflite.builtin);
    if (builtin.empty() || op->tflite.lower || ops.tflite(builtin)) continue;
    Regular& row = out[builtin];
    for (std::size_t i = 0; i < op->inputs.size(); ++i) row.pairs += fmt::format("{}={} ", op->inputs[i].name, i);
    for (const std::string& pair : split(op->tflite.options, ' ')) {
      if (pair.empty()) continue;
      const std::size_t equals = pair.find('=');
      const std::string option = pair.substr(0, equals), ours = pair.substr(equals + 1);
      row.pairs += ours.starts_with('#') ? fmt::format("={} ", option) : fmt::format("{}={} ", ours, option);
    }
    row.meaning.op = op;
  }
  for (auto& [builtin, row] : out) row.map = {builtin, row.pairs}, row.meaning.map = &row.map;
  return out;
}

class TfliteImporter {
 public:
  TfliteImporter(const TflFile& file, const TfliteOrigin& origin, const OpTable& ops, Diagnostics& diagnostics)
      : file_(file),
        tfl_(file.graph),
        origin_(origin),
        ops_(ops),
        diagnostics_(diagnostics),
        regular_(regular_builtins(ops)),
        builder_(graph_, ops) {}

  // `images`: inputs that are taken as channels last and become channels first.
  Graph run(const std::set<std::string>& images) {
    graph_.name = as_path(tfl_.name);
    values_.assign(tfl_.tensors.size(), absent);
    for (const Port& port : tfl_.inputs) add_input(port, images.contains(port.name));
    for (const TflNode& node : tfl_.nodes) {
      try {
        add_node(node);
      } catch (const Failure& failure) {
        for (const Diagnostic& diagnostic : failure.diagnostics()) diagnostics_.add(diagnostic);
        stand_in(node);
      }
    }
    std::vector<std::string> known;
    for (const auto& [builtin, row] : regular_) known.push_back(builtin);
    for (const OpDef* op : ops_.all())
      for (const ForeignMap& map : op->tflite_in) known.emplace_back(map.target);
    unknown_.report(known, diagnostics_);
    if (diagnostics_.has_errors()) return {};
    for (const Port& port : tfl_.outputs) add_output(port);
    return sink_permutes(graph_, ops_);
  }

 private:
  const TflTensor& tensor(int id) const { return tfl_.tensors[static_cast<std::size_t>(id)]; }
  ValueId& slot(int id) { return values_[static_cast<std::size_t>(id)]; }
  Type stated(int id) const { return {tensor(id).dtype, to_shape(tensor(id).sizes)}; }

  std::string name_of(int id) const {
    const auto it = origin_.names.find(id);
    return as_path(it == origin_.names.end() ? tensor(id).name : it->second);
  }

  Ints order_of(const Port& port, bool image) const {
    const std::size_t rank = tensor(port.value).sizes.size();
    const auto it = origin_.ports.find(port.name);
    if (it != origin_.ports.end() && it->second.size() == rank) return {it->second.begin(), it->second.end()};
    if (image && rank > 2) return channels_first_order(rank);
    Ints order;
    for (std::size_t i = 0; i < rank; ++i) order.push_back(static_cast<std::int64_t>(i));
    return order;
  }

  ValueId turned(ValueId value, const Ints& dims, const std::string& path) {
    if (std::is_sorted(dims.begin(), dims.end())) return value;
    return builder_.node(*ops_.find("permute"), {value}, {Attr(dims)}, path)[0];
  }

  void add_input(const Port& port, bool image) {
    const Ints order = order_of(port, image);
    Type type = stated(port.value);
    for (std::size_t i = 0; i < order.size(); ++i) type.shape[i] = Dim(tensor(port.value).sizes[static_cast<std::size_t>(order[i])]);
    std::string name = as_path(port.name);
    std::replace(name.begin(), name.end(), '.', '_');
    const ValueId value = graph_.add_value({name, type, {}});
    graph_.inputs.push_back({name, value});
    slot(port.value) = turned(value, inverse(order), name + ".permute");
    if (file_.open_sizes.contains(port.value))
      diagnostics_.add({.code = "E504",
                        .message = fmt::format("input '{}' has open sizes; {} is taken", port.name, text(stated(port.value))),
                        .next = "convert the original with the sizes that are wanted, if these are not",
                        .severity = Severity::warning});
  }

  void add_output(const Port& port) {
    const ValueId value = read(port.value);
    std::string name = as_path(port.name);
    std::replace(name.begin(), name.end(), '.', '_');
    graph_.outputs.push_back({name, turned(value, order_of(port, false), name + ".permute")});
  }

  ValueId read(int id) {
    ValueId& value = slot(id);
    if (value != absent) return value;
    const TflTensor& t = tensor(id);
    if (!t.constant)
      fail({.code = "E104",
            .message = fmt::format("tensor '{}' is read before any operator makes it", t.name),
            .next = "the file is damaged: write it again"});
    if (file_.other_types.contains(id))
      fail({.code = "E502",
            .message = fmt::format("tensor '{}' holds {}, which no tensor of Wherry's does", t.name, file_.other_types.at(id))});
    return value = graph_.add_constant(*t.constant, name_of(id));
  }

  ForeignNode foreign(const TflNode& node, std::string& activation) {
    ForeignNode out{.target = node.builtin, .args = {}, .path = node.outputs.empty() ? "" : name_of(node.outputs[0])};
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] >= 0) out.args.push_back({std::to_string(i), read(node.inputs[i])});
    for (const TflOption& option : node.options) {
      if (option.name == "fused_activation_function")
        activation = std::get<std::string>(option.value);
      else
        out.args.push_back({option.name, option.value});
    }
    out.output_count = static_cast<int>(node.outputs.size());
    for (const int id : node.outputs) out.output_types.push_back(stated(id));
    return out;
  }

  const OpTable::Foreign* meaning(const std::string& builtin) const {
    if (const OpTable::Foreign* found = ops_.tflite(builtin)) return found;
    const auto it = regular_.find(builtin);
    return it == regular_.end() ? nullptr : &it->second.meaning;
  }

  // Weights stored as halves are floats behind a DEQUANTIZE.
  bool widened(const TflNode& node) {
    if (node.builtin != "DEQUANTIZE" || node.inputs.size() != 1 || node.outputs.size() != 1) return false;
    const TflTensor& from = tensor(node.inputs[0]);
    if (!from.constant || from.dtype != DType::float16) return false;
    slot(node.outputs[0]) = graph_.add_constant(from.constant->cast(DType::float32), name_of(node.outputs[0]));
    return true;
  }

  void add_node(const TflNode& node) {
    if (node.outputs.empty() || std::find(node.outputs.begin(), node.outputs.end(), -1) != node.outputs.end())
      fail({.code = "E104",
            .message = fmt::format("an operator {} makes no tensor", node.builtin),
            .next = "the file is damaged: write it again"});
    if (widened(node)) return;
    std::string activation = "NONE";
    const ForeignNode call = foreign(node, activation);
    const OpTable::Foreign* found = meaning(node.builtin);
    if (!found) {
      unknown_.add(graph_, call);
      return stand_in(node);
    }
    const std::size_t before = graph_.nodes.size();
    builder_.at(activation == "NONE" ? call.path : before_activation(node, call.path), {});
    std::vector<ValueId> results = convert_foreign(builder_, call, *found);
    name_weights(before);
    if (results.size() < node.outputs.size())
      fail({.code = "E203",
            .message = fmt::format("'{}' gives {} tensors, the file states {}", node.builtin, results.size(), node.outputs.size()),
            .at = call.path});
    builder_.at(call.path, {});
    if (activation != "NONE") results[0] = activated(call, results[0], activation);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (graph_.type(results[i]) != stated(node.outputs[i]))
        fail({.code = "E203",
              .message = fmt::format("'{}' would give {}, the file states {}", node.builtin, text(graph_.type(results[i])),
                                     text(stated(node.outputs[i]))),
              .at = call.path,
              .in = describe_inputs(graph_, call)});
      slot(node.outputs[i]) = results[i];
    }
  }

  // An operator with a fused activation has no name of its own: its weight's, or the activation's with the operator's.
  std::string before_activation(const TflNode& node, const std::string& path) const {
    if (node.inputs.size() > 1 && node.inputs[1] >= 0 && tensor(node.inputs[1]).constant) {
      const std::string weight = name_of(node.inputs[1]);
      if (const std::size_t at = weight.rfind(".weight"); at != std::string::npos && at > 0) return weight.substr(0, at);
    }
    std::string op = node.builtin;
    std::transform(op.begin(), op.end(), op.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return path + "_" + op;
  }

  ValueId activated(const ForeignNode& call, ValueId x, const std::string& activation) {
    // Clamps are the same in every order of axes, so they go before the permute that ends an image operator.
    if (activation == "RELU") return builder_("relu", {x});
    if (activation == "RELU6") return builder_("relu6", {x});
    if (activation == "RELU_N1_TO_1") return builder_("hardtanh", {x});
    if (activation == "TANH") return builder_("tanh", {x});
    fail({.code = "E203", .message = fmt::format("'{}' with the activation {}", call.target, activation), .at = call.path});
  }

  // Weights take the names that a text gives them: the layer's path and the input's name.
  void name_weights(std::size_t first) {
    for (std::size_t n = first; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      for (std::size_t i = 0; i < node.inputs.size() && i < node.op->inputs.size(); ++i) {
        const Input& input = node.op->inputs[i];
        if (!graph_.is_constant(node.inputs[i]) || (input.role != Role::parameter && input.role != Role::optional_parameter)) continue;
        std::string& name = graph_[node.inputs[i]].name;
        if (named_.insert(node.inputs[i]).second) name = fmt::format("{}.{}", node.path, input.name);
      }
    }
  }

  // After a fault: values of the types that the file states, so that what follows is still looked at.
  void stand_in(const TflNode& node) {
    for (const int id : node.outputs)
      if (id >= 0 && slot(id) == absent) slot(id) = graph_.add_value({name_of(id), stated(id), {}});
  }

  const TflFile& file_;
  const TflGraph& tfl_;
  const TfliteOrigin& origin_;
  const OpTable& ops_;
  Diagnostics& diagnostics_;
  std::map<std::string, Regular, std::less<>> regular_;
  UnknownOperators unknown_;
  Graph graph_;
  Builder builder_;
  std::vector<ValueId> values_;  // by tensor
  std::set<ValueId> named_;
};

void refuse_integers(const TflFile& file) {
  std::size_t count = 0;
  const TflTensor* first = nullptr;
  for (const TflTensor& t : file.graph.tensors)
    if (t.quantization && (is_integer(t.dtype) || t.quantization->block_size > 0) && count++ == 0) first = &t;
  if (count == 0) return;
  fail({.code = "E107",
        .message = fmt::format("'{}' is quantized: {} of its {} tensors are integers that stand for reals (the first is '{}', {})",
                               file.graph.name, count, file.graph.tensors.size(), first->name, name(first->dtype)),
        .next = "convert the float model that it was made of; 'wherry check', 'verify' and 'evaluate' read this file as it is"});
}

// Constants that are no layer's own keep their tensors' names, made unique.
void make_names_unique(Graph& graph) {
  std::set<std::string> taken;
  for (Value& value : graph.values) {
    if (!value.constant || value.name.empty()) continue;
    const std::string wanted = value.name;
    for (int i = 2; !taken.insert(value.name).second; ++i) value.name = fmt::format("{}_{}", wanted, i);
  }
}

// Outputs of a file without a record that are images turned to channels last are given as they were before.
Graph without_last_permutes(Graph graph, const std::vector<bool>& recorded, const OpTable& ops) {
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    Port& port = graph.outputs[i];
    const auto maker = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) { return n.outputs[0] == port.value; });
    if (recorded[i] || maker == graph.nodes.end() || maker->op != ops.find("permute")) continue;
    const Ints& dims = maker->ints("dims");
    if (dims.size() > 2 && dims == inverse(channels_first_order(dims.size()))) port.value = maker->inputs[0];
  }
  return without_dead_code(graph);
}

bool still_permuted(const Graph& graph, const Port& port) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [&](const Node& n) { return n.op->name == "permute" && n.inputs[0] == port.value; });
}

}  // namespace

Graph read_tflite(const TflFile& file, const TfliteOrigin& origin, const OpTable& ops, Diagnostics& diagnostics) {
  refuse_integers(file);
  std::set<std::string> images;
  for (const Port& port : file.graph.inputs) {
    const TflTensor& t = file.graph.tensors[static_cast<std::size_t>(port.value)];
    if (!origin.ports.contains(port.name) && t.sizes.size() == 4 && is_float(t.dtype)) images.insert(port.name);
  }
  Diagnostics found;
  Graph graph = TfliteImporter(file, origin, ops, found).run(images);
  // An input that still has to be turned for its users is no image to them.
  std::set<std::string> kept = images;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    if (still_permuted(graph, graph.inputs[i])) kept.erase(file.graph.inputs[i].name);
  if (kept != images && !found.has_errors()) {
    found = {};
    graph = TfliteImporter(file, origin, ops, found).run(kept);
  }
  for (const Diagnostic& diagnostic : found.all()) diagnostics.add(diagnostic);
  if (diagnostics.has_errors()) return graph;
  make_names_unique(graph);
  std::vector<bool> recorded;
  for (const Port& port : file.graph.outputs) recorded.push_back(origin.ports.contains(port.name));
  return without_last_permutes(std::move(graph), recorded, ops);
}

}  // namespace wherry
