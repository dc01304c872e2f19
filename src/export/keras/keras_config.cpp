// What Keras reads a functional model from: every layer with its configuration and the calls that connect them.
#include "export/keras/write_keras.h"

#include <nlohmann/json.hpp>

namespace wherry {

namespace {

using Json = nlohmann::ordered_json;

// JSON has no word for infinity; Python's reader, which Keras uses, takes its own. Strings stand in until the text is whole.
constexpr std::string_view infinite[] = {"\"\\u0000+\"", "\"\\u0000-\""}, infinity[] = {"Infinity", "-Infinity"};

Json number(double value) {
  if (!std::isinf(value)) return value;
  return std::string("\0", 1) + (value > 0 ? "+" : "-");
}

std::string with_infinities(std::string text) {
  for (const std::size_t i : {0U, 1U})
    for (std::size_t at = 0; (at = text.find(infinite[i], at)) != std::string::npos;) text.replace(at, infinite[i].size(), infinity[i]);
  return text;
}

Json plain(const Attr& attr) {
  if (std::holds_alternative<None>(attr)) return nullptr;
  if (const auto* dtype = std::get_if<DType>(&attr)) return name(*dtype);
  return std::visit(
      [](const auto& value) -> Json {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, None> || std::is_same_v<T, DType>)
          return nullptr;
        else if constexpr (std::is_same_v<T, double>)
          return number(value);
        else
          return value;
      },
      attr);
}

Json numbers(const Tensor& tensor, const Sizes& sizes, std::size_t axis, std::int64_t& at) {
  if (axis == sizes.size()) {
    const double value = tensor.item(at++);
    if (tensor.dtype() == DType::boolean) return value != 0;
    if (is_integer(tensor.dtype())) return static_cast<std::int64_t>(value);
    return number(value);
  }
  Json list = Json::array();
  for (std::int64_t i = 0; i < sizes[axis]; ++i) list.push_back(numbers(tensor, sizes, axis + 1, at));
  return list;
}

Json array(const Tensor& tensor) {
  std::int64_t at = 0;
  const Tensor whole = tensor.contiguous();
  Json value = numbers(whole, whole.sizes(), 0, at);
  if (tensor.rank() == 0) return value;
  return {{"class_name", "__numpy__"}, {"config", {{"value", std::move(value)}, {"dtype", name(tensor.dtype())}}}};
}

class Writer {
 public:
  explicit Writer(const KerasGraph& graph) : graph_(graph) {}

  Json model(const std::string& name) const {
    Json layers = Json::array();
    for (const int node : keras_layer_order(graph_)) layers.push_back(layer(graph_.nodes[static_cast<std::size_t>(node)]));
    return {{"module", "keras.src.models.functional"},
            {"class_name", "Functional"},
            {"config",
             {{"name", name},
              {"trainable", true},
              {"layers", std::move(layers)},
              {"input_layers", ports(graph_.inputs)},
              {"output_layers", ports(graph_.outputs)}}},
            {"registered_name", "Functional"}};
  }

 private:
  const KerasTensor& tensor(int id) const { return graph_.tensors[static_cast<std::size_t>(id)]; }

  Json shape(const Type& type) const {
    Json sizes = Json::array();
    for (const Dim& size : type.shape) sizes.push_back(size.size());
    if (graph_.batched && !sizes.empty()) sizes[0] = nullptr;
    return sizes;
  }

  Json ports(const std::vector<Port>& list) const {
    Json all = Json::array();
    for (const Port& port : list) all.push_back({tensor(port.value).name, 0, tensor(port.value).output});
    return list.size() == 1 ? all[0] : all;
  }

  Json reference(const KerasRef& ref) const {
    const KerasTensor& t = tensor(ref.tensor);
    if (t.constant) return array(*t.constant);
    return {{"class_name", "__keras_tensor__"},
            {"config", {{"shape", shape(t.type)}, {"dtype", name(t.type.dtype)}, {"keras_history", {t.name, 0, t.output}}}}};
  }

  Json value(const KerasValue& value) const {
    if (const auto* attr = std::get_if<Attr>(&value)) return plain(*attr);
    if (const auto* ref = std::get_if<KerasRef>(&value)) return reference(*ref);
    if (const auto* constant = std::get_if<Tensor>(&value)) return array(*constant);
    Json list = Json::array();
    if (const auto* refs = std::get_if<std::vector<KerasRef>>(&value))
      for (const KerasRef& ref : *refs) list.push_back(reference(ref));
    if (const auto* pairs = std::get_if<std::vector<Ints>>(&value))
      for (const Ints& pair : *pairs) list.push_back(pair);
    if (const auto* slices = std::get_if<std::vector<KerasSlice>>(&value))
      for (const KerasSlice& s : *slices)
        list.push_back(
            {{"class_name", "__slice__"}, {"config", {{"start", s.start}, {"stop", s.stop ? Json(*s.stop) : Json()}, {"step", s.step}}}});
    return list;
  }

  Json calls(const KerasNode& node) const {
    if (node.layer == "InputLayer") return Json::array();
    Json args = Json::array();
    for (const KerasValue& arg : node.args) args.push_back(value(arg));
    return Json::array({{{"args", std::move(args)}, {"kwargs", Json::object()}}});
  }

  Json layer(const KerasNode& node) const {
    if (node.inner) {
      Json block = Writer(*node.inner).model(node.name);
      block["name"] = node.name;
      block["inbound_nodes"] = calls(node);
      return block;
    }
    Json config = {{"name", node.name}};
    if (node.layer == "InputLayer") {
      config["batch_shape"] = shape(tensor(node.outputs[0]).type);
      config["dtype"] = name(tensor(node.outputs[0]).type.dtype);
    }
    for (const KerasEntry& entry : node.config)
      if (!entry.is_default()) config[entry.name] = value(entry.value);
    const std::size_t dot = node.layer.rfind('.');
    const std::string word = dot == std::string::npos ? node.layer : node.layer.substr(dot + 1);
    return {{"module", is_operation(node) ? "keras.src." + node.layer.substr(0, dot) : "keras.layers"},
            {"class_name", word},
            {"config", std::move(config)},
            {"registered_name", is_operation(node) ? Json(word) : Json()},
            {"name", node.name},
            {"inbound_nodes", calls(node)}};
  }

  const KerasGraph& graph_;
};

}  // namespace

std::string keras_config(const KerasGraph& graph) { return with_infinities(Writer(graph).model(keras_name(graph.name)).dump()); }

// Keras wants a version and a date; the date is the archive's own, so that the same model gives the same bytes.
std::string keras_metadata() { return Json{{"keras_version", "3.10.0"}, {"date_saved", "1980-01-01@00:00:00"}}.dump(); }

}  // namespace wherry
