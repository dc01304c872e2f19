#include "import/keras/read_keras.h"

#include "base/text.h"
#include "import/foreign.h"
#include "import/keras/weights.h"
#include "import/tflite/sink_permutes.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <set>

namespace wherry {

namespace {

using nlohmann::json;

// What a layer's configuration says of training, of how it was made and of its name: no result depends on it.
bool concerns_no_result(const std::string& entry) {
  static const std::set<std::string> names = {"name",         "trainable",        "dtype",     "activation", "seed",        "momentum",
                                              "synchronized", "noise_shape",      "units",     "filters",    "kernel_size", "groups",
                                              "use_bias",     "depth_multiplier", "input_dim", "output_dim", "mask_zero",   "sparse",
                                              "ragged",       "optional",         "autocast"};
  return names.contains(entry) || entry.ends_with("_initializer") || entry.ends_with("_regularizer") || entry.ends_with("_constraint") ||
         entry.starts_with("renorm") || entry.starts_with("lora_") || entry.starts_with("quantization");
}

std::string path_of(std::string name) {
  for (char& c : name)
    if (c == '-' || c == '/')
      c = '.';
    else if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.')
      c = '_';
  return name;
}

std::string port_name(std::string name) {
  name = path_of(std::move(name));
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

Ints inverse(const std::vector<int>& order) {
  Ints out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  return out;
}

std::vector<int> channels_first(std::size_t rank) {
  std::vector<int> order = {0, static_cast<int>(rank) - 1};
  for (std::size_t i = 1; i + 1 < rank; ++i) order.push_back(static_cast<int>(i));
  return order;
}

// Keras's own module of a layer; a custom one has none.
std::string module_of(const json& layer) {
  const auto it = layer.find("module");
  return it != layer.end() && it->is_string() ? it->get<std::string>() : "";
}

// Lists of lists as one.
void flat(const json& list, std::vector<json>& out) {
  for (const json& item : list)
    if (item.is_array())
      flat(item, out);
    else
      out.push_back(item);
}

// A configuration's value as an attribute; pairs of pairs become one list; what no operator takes is left out.
std::optional<Attr> attr_of(const json& value) {
  if (value.is_null()) return Attr(None{});
  if (value.is_boolean()) return Attr(value.get<bool>());
  if (value.is_number_integer()) return Attr(value.get<std::int64_t>());
  if (value.is_number()) return Attr(value.get<double>());
  if (value.is_string()) return Attr(value.get<std::string>());
  if (!value.is_array()) return std::nullopt;
  std::vector<json> items;
  flat(value, items);
  Ints list;
  for (const json& item : items) {
    if (!item.is_number_integer()) return std::nullopt;
    list.push_back(item.get<std::int64_t>());
  }
  return Attr(list);
}

// Operations of keras.ops that are one of our operators as its keras slot says: the slot read backwards.
struct Regular {
  std::string pairs;
  ForeignMap map;
  OpTable::Foreign meaning;
};

std::map<std::string, Regular, std::less<>> regular_operations(const OpTable& ops) {
  std::map<std::string, Regular, std::less<>> out;
  for (const OpDef* op : ops.all()) {
    std::string layer(op->keras.layer);
    if (layer.empty() || op->keras.lower) continue;
    if (layer.find('.') == std::string::npos) {
      const bool merges = op->inputs.size() == 2 && op->keras.config.empty();  // the operation beside the merging layer
      if (!merges) continue;
      layer = "ops.numpy." + layer;
    }
    Regular& row = out[layer];
    for (std::size_t i = 0; i < op->inputs.size(); ++i) row.pairs += fmt::format("{}={} ", op->inputs[i].name, i);
    for (const std::string& pair : split(std::string(op->keras.config), ' '))
      if (const std::size_t sign = pair.find('='); sign != std::string::npos)
        row.pairs += fmt::format("{}={} ", pair.substr(sign + 1), pair.substr(0, sign));
    row.meaning.op = op;
  }
  for (auto& [layer, row] : out) row.map = {layer, row.pairs}, row.meaning.map = &row.map;
  return out;
}

class KerasImporter {
 public:
  KerasImporter(const KerasWeights& weights, const KerasPortOrders& orders, const OpTable& ops, std::string title, Diagnostics& diagnostics)
      : weights_(weights),
        orders_(orders),
        ops_(ops),
        title_(std::move(title)),
        diagnostics_(diagnostics),
        regular_(regular_operations(ops)),
        builder_(graph_, ops) {}

  Graph run(const json& model, const std::set<std::string>& plain) {
    plain_ = plain;
    graph_.name = path_of(model.at("config").value("name", "model"));
    const std::vector<Result> results = add_model(model, "", "", {});
    if (diagnostics_.has_errors()) return {};
    for (const Result& result : results) add_output(result);
    return sink_permutes(graph_, ops_);
  }

  const std::set<std::string>& images() const { return images_; }

 private:
  struct Result {
    std::string name;  // of the layer
    ValueId value;
  };
  // By layer and call: what it gives.
  using Calls = std::map<std::string, std::vector<ValueId>>;

  // `given`: what a nested model is called with; the outermost one makes its inputs.
  std::vector<Result> add_model(const json& model, const std::string& path, const std::string& group, const std::vector<ValueId>& given) {
    const std::string kind = model.at("class_name");
    if (kind != "Functional" && kind != "Sequential")
      fail({.code = "E107",
            .message =
                fmt::format("'{}' is a model of class '{}': only functional and sequential models say what they compute", title_, kind),
            .next = "build the model with keras.Model(inputs, outputs), or save the graph of the part that is one"});
    const json& config = model.at("config");
    Calls calls;
    const std::vector<std::string> groups = groups_of(config.at("layers"), group);
    std::size_t next_input = 0;
    std::string last;
    std::vector<bool> done(config.at("layers").size());
    for (bool progress = true; progress;) {
      progress = false;
      for (std::size_t i = 0; i < done.size(); ++i) {
        const json& layer = config["layers"][i];
        if (done[i]) continue;
        const std::string name = layer.at("config").at("name");
        if (layer.at("class_name") == "InputLayer") {
          calls[name] = {given.empty() ? add_input(layer) : given.at(next_input++)};
        } else if (kind == "Sequential") {
          if (last.empty()) calls[last = "(input)"] = {given.empty() ? add_input(config_of_first(config, layer)) : given.at(0)};
          calls[name] = {add_layer(layer, path, groups[i], {calls.at(last)})[0]};
        } else if (!add_calls(layer, path, groups[i], calls)) {
          continue;
        }
        last = name;
        done[i] = progress = true;
      }
    }
    if (std::find(done.begin(), done.end(), false) != done.end())
      fail({.code = "E104", .message = fmt::format("'{}' has layers that take from layers which are not there", title_)});
    std::vector<Result> results;
    if (kind == "Sequential") return {{last, calls.at(last).at(0)}};
    for (const json& port : ports_of(config.at("output_layers")))
      results.push_back(
          {port.at(0), calls.at(port.at(0)).at(std::min<std::size_t>(port.at(2).get<std::size_t>(), calls.at(port.at(0)).size() - 1))});
    return results;
  }

  // ["x", 0, 0], a list of such, or a map of them.
  static std::vector<json> ports_of(const json& ports) {
    if (ports.is_array() && ports.size() == 3 && ports[0].is_string()) return {ports};
    std::vector<json> list;
    for (const json& item : ports)
      for (const json& port : ports_of(item)) list.push_back(port);
    return list;
  }

  static std::vector<std::string> groups_of(const json& layers, const std::string& group) {
    std::map<std::string, int> used;
    std::vector<std::string> groups;
    for (const json& layer : layers) {
      if (module_of(layer).find(".ops.") != std::string::npos) {
        groups.emplace_back();
        continue;
      }
      const std::string word = keras_group(layer.at("class_name"));
      const int number = used[word]++;
      groups.push_back(
          fmt::format("{}{}layers/{}{}", group, group.empty() ? "" : "/", word, number == 0 ? "" : fmt::format("_{}", number)));
    }
    return groups;
  }

  // A sequential model without an input layer says its input's shape in its own configuration.
  static json config_of_first(const json& config, const json& layer) {
    json shape = config.value("build_input_shape", json());
    if (shape.is_null()) shape = layer.value("build_config", json::object()).value("input_shape", json());
    return {{"class_name", "InputLayer"}, {"config", {{"name", "input"}, {"batch_shape", shape}, {"dtype", "float32"}}}};
  }

  ValueId add_input(const json& layer) {
    const json& config = layer.at("config");
    const std::string name = config.at("name");
    const json& shape = config.contains("batch_shape") ? config["batch_shape"] : config.value("batch_input_shape", json());
    const std::string word = config.value("dtype", "float32");
    const std::optional<DType> dtype = parse_dtype(word);
    if (!shape.is_array() || !dtype)
      fail({.code = "E104", .message = fmt::format("input '{}' of '{}' has no shape or data type", name, title_)});
    Sizes sizes;
    for (const json& size : shape) {
      if (size.is_null() && !sizes.empty())
        fail({.code = "E504",
              .message = fmt::format("input '{}' leaves axis {} open", name, sizes.size()),
              .next = "save the model with fixed sizes for all axes but the batch: keras.Input((224, 224, 3))"});
      sizes.push_back(size.is_null() ? 1 : size.get<std::int64_t>());
    }
    std::vector<int> order(sizes.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    const auto known = orders_.find(name);
    if (known != orders_.end() && known->second.size() == sizes.size())
      order = known->second;
    else if (sizes.size() == 4 && is_float(*dtype) && !plain_.contains(name))
      order = channels_first(4), images_.insert(name);
    Type type{*dtype, {}};
    for (const int axis : order) type.shape.emplace_back(sizes[static_cast<std::size_t>(axis)]);
    const ValueId value = graph_.add_value({port_name(name), type, {}});
    graph_.inputs.push_back({port_name(name), value});
    return turned(value, inverse(order), port_name(name) + ".permute");
  }

  void add_output(const Result& result) {
    const std::size_t rank = graph_.type(result.value).shape.size();
    const auto known = orders_.find(result.name);
    Ints dims(rank);
    for (std::size_t i = 0; i < rank; ++i) dims[i] = static_cast<std::int64_t>(i);
    if (known != orders_.end() && known->second.size() == rank)
      dims.assign(known->second.begin(), known->second.end());
    else if (known == orders_.end() && rank == 4 && !images_.empty())
      dims = Ints{0, 3, 1, 2};
    graph_.outputs.push_back({port_name(result.name), turned(result.value, dims, port_name(result.name) + ".permute")});
  }

  ValueId turned(ValueId value, const Ints& dims, const std::string& path) {
    if (std::is_sorted(dims.begin(), dims.end())) return value;
    return builder_.node(*ops_.find("permute"), {value}, {Attr(dims)}, path)[0];
  }

  // All calls of a layer whose inputs are there; false: later.
  bool add_calls(const json& layer, const std::string& path, const std::string& group, Calls& calls) {
    const std::string name = layer.at("config").at("name");
    std::vector<ValueId> results;
    for (const json& call : layer.at("inbound_nodes")) {
      std::vector<json> args;
      flat(call.at("args"), args);
      std::vector<ValueId> inputs;
      for (const json& arg : args) {
        if (arg.is_object() && arg.value("class_name", "") == "__keras_tensor__") {
          const json& history = arg.at("config").at("keras_history");
          const auto maker = calls.find(history.at(0));
          if (maker == calls.end()) return false;
          const std::size_t at = history.at(1).get<std::size_t>() + history.at(2).get<std::size_t>();
          inputs.push_back(maker->second.at(std::min(at, maker->second.size() - 1)));
        } else {
          inputs.push_back(constant(arg, inputs.empty() ? DType::float32 : graph_.type(inputs[0]).dtype, name));
        }
      }
      const std::vector<ValueId> made = add_layer(layer, path, group, inputs);
      results.insert(results.end(), made.begin(), made.end());
    }
    calls[name] = results;
    return true;
  }

  ValueId constant(const json& arg, DType dtype, const std::string& layer) {
    if (arg.is_number()) return builder_.scalar(arg.get<double>(), dtype);
    if (arg.is_object() && arg.value("class_name", "") == "__numpy__") {
      const json& config = arg.at("config");
      Sizes sizes;
      for (const json* level = &config.at("value"); level->is_array(); level = &level->at(0)) {
        sizes.push_back(static_cast<std::int64_t>(level->size()));
        if (level->empty()) break;
      }
      std::vector<float> numbers;
      std::vector<json> items;
      flat(config["value"], items);
      for (const json& item : items) numbers.push_back(item.is_boolean() ? static_cast<float>(item.get<bool>()) : item.get<float>());
      return builder_.constant(Tensor::from(numbers, sizes).cast(parse_dtype(config.value("dtype", "float32")).value_or(DType::float32)));
    }
    fail({.code = "E203", .message = fmt::format("layer '{}' is called with an argument that is no tensor and no number", layer)});
  }

  std::vector<ValueId> add_layer(const json& layer, const std::string& path, const std::string& group, const std::vector<ValueId>& inputs) {
    const json& config = layer.at("config");
    const std::string name = config.at("name"), kind = layer.at("class_name"), module = module_of(layer);
    const std::string whole =
        name.starts_with(path) ? name : path + name;  // layers of Wherry's nested models are called by their whole paths
    if (kind == "Functional" || kind == "Sequential") {
      std::vector<ValueId> values;
      for (const Result& result : add_model(layer, whole + "-", group, inputs)) values.push_back(result.value);
      return values;
    }
    const std::size_t ops = module.find(".ops.");
    const std::string target = ops == std::string::npos ? kind : fmt::format("{}.{}", module.substr(ops + 1), kind);
    const bool custom = !module.starts_with("keras");
    const OpTable::Foreign* meaning = custom ? nullptr : meaning_of(target);
    if (!meaning) return unknown(layer, whole, target, custom, inputs);
    ForeignNode node{.target = target, .args = {}, .path = path_of(whole)};
    for (std::size_t i = 0; i < inputs.size(); ++i) node.args.push_back({std::to_string(i), inputs[i]});
    const std::vector<Tensor> variables = group.empty() ? std::vector<Tensor>{} : weights_.variables(group);
    for (std::size_t i = 0; i < variables.size(); ++i)
      node.args.push_back({fmt::format("w{}", i), graph_.add_constant(variables[i], fmt::format("{}.w{}", node.path, i))});
    add_config(config, node);
    builder_.at(node.path, {});
    const std::size_t before = graph_.nodes.size();
    try {
      if (config.value("data_format", "channels_last") == "channels_first")
        fail({.code = "E203", .message = fmt::format("layer '{}' keeps its images channels first", name), .at = node.path});
      std::vector<ValueId> results = convert_foreign(builder_, node, *meaning);
      name_weights(before);
      if (kind != "Activation" && config.contains("activation")) results.at(0) = activated(config["activation"], node, results[0]);
      return results;
    } catch (const Failure& failure) {
      for (const Diagnostic& d : failure.diagnostics()) diagnostics_.add(d);
      return {inputs.at(0)};
    }
  }

  // An activation is a layer of its own here.
  ValueId activated(const json& activation, const ForeignNode& layer, ValueId x) {
    if (!activation.is_string() || activation == "linear") return x;
    ForeignNode node{.target = "Activation",
                     .args = {{"0", x}, {"activation", Attr(activation.get<std::string>())}},
                     .path = layer.path + "_" + activation.get<std::string>()};
    builder_.at(node.path, {});
    return convert_foreign(builder_, node, *ops_.keras("Activation")).at(0);
  }

  void add_config(const json& config, ForeignNode& node) const {
    for (const auto& [entry, value] : config.items()) {
      if (entry == "data_format" || (concerns_no_result(entry) && !(entry == "activation" && node.target == "Activation") &&
                                     !(entry == "groups" && node.target == "GroupNormalization")))
        continue;
      if (const std::optional<Attr> attr = attr_of(value)) node.args.push_back({entry, *attr});
    }
  }

  const OpTable::Foreign* meaning_of(const std::string& target) const {
    if (const OpTable::Foreign* found = ops_.keras(target)) return found;
    const auto it = regular_.find(target);
    return it == regular_.end() ? nullptr : &it->second.meaning;
  }

  // After an unknown layer its inputs stand in, so that what follows is looked at too.
  std::vector<ValueId> unknown(const json& layer, const std::string& name, const std::string& target, bool custom,
                               const std::vector<ValueId>& inputs) {
    const json registered = layer.value("registered_name", json());
    diagnostics_.add(
        {.code = "E201",
         .message = custom ? fmt::format("layer '{}' is of the custom class '{}'", name,
                                         registered.is_string() ? registered.get<std::string>() : target)
                           : fmt::format("layer '{}' is of class '{}', which Wherry does not read", name, target),
         .at = path_of(name),
         .next = fmt::format("register it: an operator with .keras_in = {{{{\"{}\", …}}}} as docs/adding-an-operator.md tells, or build "
                             "the model of built-in layers",
                             layer.at("class_name").get<std::string>())});
    return {inputs.empty() ? builder_.scalar(0) : inputs[0]};
  }

  // Weights take the names that a text gives them: the layer's path and the input's name.
  void name_weights(std::size_t first) {
    for (std::size_t n = first; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      for (std::size_t i = 0; i < node.inputs.size() && i < node.op->inputs.size(); ++i) {
        const Role role = node.op->inputs[i].role;
        if (!graph_.is_constant(node.inputs[i]) || (role != Role::parameter && role != Role::optional_parameter)) continue;
        if (named_.insert(node.inputs[i]).second) graph_[node.inputs[i]].name = fmt::format("{}.{}", node.path, node.op->inputs[i].name);
      }
    }
  }

  const KerasWeights& weights_;
  const KerasPortOrders& orders_;
  const OpTable& ops_;
  std::string title_;
  Diagnostics& diagnostics_;
  std::map<std::string, Regular, std::less<>> regular_;
  Graph graph_;
  Builder builder_;
  std::set<std::string> plain_, images_;
  std::set<ValueId> named_;
};

// Inputs that still have to be turned for their users: no images to them.
std::set<std::string> still_turned(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes)
    for (const Port& port : graph.inputs)
      if (node.op->name == "permute" && node.inputs[0] == port.value) names.insert(port.name);
  return names;
}

}  // namespace

Graph read_keras(Archive& archive, const KerasPortOrders& orders, const OpTable& ops, Diagnostics& diagnostics) {
  const json model = json::parse(archive.read("config.json").text(), nullptr, false);
  if (model.is_discarded() || !model.is_object()) archive.damaged("its config.json is no JSON", "E104");
  const KerasWeights weights(archive.read("model.weights.h5"), archive.title());
  try {
    Diagnostics found;
    KerasImporter first(weights, orders, ops, archive.title(), found);
    Graph graph = first.run(model, {});
    if (const std::set<std::string> plain = still_turned(graph); !plain.empty() && !first.images().empty() && !found.has_errors()) {
      found = {};
      graph = KerasImporter(weights, orders, ops, archive.title(), found).run(model, plain);
    }
    for (const Diagnostic& d : found.all()) diagnostics.add(d);
    return graph;
  } catch (const json::exception& error) {
    archive.damaged(fmt::format("its config.json is not what Keras writes ({})", error.what()), "E104");
  }
}

}  // namespace wherry
