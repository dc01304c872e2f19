#include "runtime/python_worker.h"
#include "verify/port_order.h"

namespace wherry {

namespace {

// Keras takes no '.' in a layer's name: '-' stands for it.
std::string framework_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '-');
  return name;
}

class PythonSide : public Side {
 public:
  PythonSide(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs, const std::vector<NamedType>& like_outputs,
             int threads, const std::string& backend)
      : worker_(file.string()) {
    const nlohmann::json told = worker_
                                    .call({{"call", "open"},
                                           {"file", std::filesystem::absolute(file).string()},
                                           {"threads", threads},
                                           {"backend", backend},
                                           {"inputs", described(like_inputs)},
                                           {"outputs", described(like_outputs)}})
                                    .header;
    what_ = told.at("what");
    provenance_ = parse_provenance(std::string(told.value("provenance", "")));
    inputs_ = ordered_ports(types(told.at("inputs"), file), like_inputs, provenance_);
    outputs_ = ordered_ports(types(told.at("outputs"), file), like_outputs, provenance_);
  }

  std::string what() const override { return what_; }
  std::vector<NamedType> inputs() const override { return source_types(inputs_); }
  std::vector<NamedType> outputs() const override { return source_types(outputs_); }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    return in_source_order(worker_.call({{"call", "run"}}, in_file_order(inputs, inputs_)).tensors, outputs_);
  }

  std::vector<Layer> run_layers(const std::vector<Tensor>& inputs) override {
    const WorkerMessage found = worker_.call({{"call", "layers"}}, in_file_order(inputs, inputs_));
    std::map<std::string, const Provenance::Layer*> known;  // by the name that the framework has for the layer
    if (provenance_)
      for (const Provenance::Layer& layer : provenance_->layers) known[framework_name(layer.name)] = &layer;
    std::vector<Layer> layers;
    for (std::size_t i = 0; i < found.tensors.size(); ++i) {
      const Tensor& tensor = found.tensors[i];
      const std::string name = found.header.at("names").at(i);
      const auto layer = known.find(framework_name(name));
      if (layer == known.end() || static_cast<int>(layer->second->order.size()) != tensor.rank())
        layers.push_back({name, tensor});
      else
        layers.push_back({layer->second->name, tensor.permuted(layer->second->order).contiguous()});
    }
    return layers;
  }

 private:
  // For files that do not say it themselves.
  static nlohmann::json described(const std::vector<NamedType>& ports) {
    nlohmann::json list = nlohmann::json::array();
    for (const NamedType& port : ports) {
      nlohmann::json shape = nlohmann::json::array();
      for (const Dim& dim : port.type.shape) shape.push_back(dim.known() ? nlohmann::json(dim.size()) : nlohmann::json(dim.text()));
      list.push_back({{"name", port.name}, {"dtype", name(port.type.dtype)}, {"shape", shape}});
    }
    return list;
  }

  // As the framework says; a size that it leaves open is a symbol.
  static std::vector<NamedType> types(const nlohmann::json& list, const std::filesystem::path& file) {
    std::vector<NamedType> result;
    for (const nlohmann::json& item : list) {
      const std::string word = item.at("dtype");
      const std::optional<DType> dtype = parse_dtype(word);
      if (!dtype) fail({.code = "E707", .message = fmt::format("'{}' takes or gives {}, which Wherry does not know", file.string(), word)});
      Shape shape;
      for (const nlohmann::json& size : item.at("shape"))
        shape.push_back(size.is_number_integer() ? Dim(size.get<std::int64_t>())
                                                 : Dim::symbol(size.is_string() ? size.get<std::string>() : "batch"));
      result.push_back({item.at("name"), {*dtype, std::move(shape)}});
    }
    return result;
  }

  PythonWorker worker_;
  std::string what_;
  std::optional<Provenance> provenance_;
  std::vector<OrderedPort> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Side> python_side(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs,
                                  const std::vector<NamedType>& like_outputs, int threads, const std::string& backend) {
  return std::make_unique<PythonSide>(file, like_inputs, like_outputs, threads, backend);
}

}  // namespace wherry
