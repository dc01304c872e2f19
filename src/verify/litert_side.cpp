#include "base/files.h"
#include "base/text.h"
#include "runtime/litert.h"
#include "runtime/quantized_values.h"
#include "runtime/tflite_file.h"
#include "tflite_schema/read_tfl_graph.h"
#include "tflite_schema/tflite_model.h"
#include "verify/provenance.h"
#include "verify/side.h"

namespace wherry {

namespace {

using Order = std::vector<int>;  // axis i of the source's value is axis order[i] of the file's tensor

Order identity(std::size_t rank) {
  Order order(rank);
  for (std::size_t i = 0; i < rank; ++i) order[i] = static_cast<int>(i);
  return order;
}

Order inverse(const Order& order) {
  Order result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) result[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return result;
}

Order channels_last(std::size_t rank) {
  Order order = identity(rank);
  for (std::size_t i = 1; i < rank; ++i) order[i] = i == 1 ? static_cast<int>(rank) - 1 : static_cast<int>(i) - 1;
  return order;
}

Shape in_order(const Shape& shape, const Order& order) {
  Shape out(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) out[i] = shape[static_cast<std::size_t>(order[i])];
  return out;
}

class LiteRtSide : public Side {
 public:
  LiteRtSide(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs, const std::vector<NamedType>& like_outputs,
             int threads)
      : file_(file), threads_(threads), model_(LiteRtModel::from_file(file, threads)), graph_(read_tfl_graph(file)) {
    if (const auto text = graph_.metadata.find(std::string(tflite_provenance)); text != graph_.metadata.end())
      provenance_ = parse_provenance(text->second);
    inputs_ = ports(model_->inputs(), graph_.graph.inputs, like_inputs);
    outputs_ = ports(model_->outputs(), graph_.graph.outputs, like_outputs);
  }

  std::string what() const override { return file_.filename().string() + " in LiteRT"; }
  std::string precision() const override { return precision_of(graph_.graph); }
  std::vector<NamedType> inputs() const override { return named(inputs_); }
  std::vector<NamedType> outputs() const override { return named(outputs_); }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    std::vector<Tensor> results = model_->run(as_the_file_takes(inputs));
    for (std::size_t i = 0; i < results.size(); ++i)
      results[i] = reals(results[i], outputs_.at(i).tensor).permuted(outputs_[i].order).contiguous();
    return results;
  }

  // The same file with every layer's tensor as an output.
  std::vector<Layer> run_layers(const std::vector<Tensor>& inputs) override {
    const std::vector<Provenance::Layer> wanted = provenance_ ? provenance_->layers : layers_by_tensor();
    std::vector<wherry::Port> taps;
    for (const Provenance::Layer& layer : wanted) taps.push_back({layer.name, layer.tensor});
    const TappedTflite tapped = with_outputs(MappedFile::open(file_)->bytes(), taps);
    const std::vector<Tensor> found = LiteRtModel::from_bytes(tapped.bytes, what(), threads_)->run(as_the_file_takes(inputs));
    std::vector<Layer> layers;
    for (std::size_t i = 0; i < taps.size(); ++i) {
      if (tapped.output[i] < 0) continue;
      const Tensor tensor = reals(found.at(static_cast<std::size_t>(tapped.output[i])), taps[i].value);
      if (wanted[i].order.size() == tensor.sizes().size()) layers.push_back({taps[i].name, tensor.permuted(wanted[i].order).contiguous()});
    }
    return layers;
  }

 private:
  struct Port {
    std::string name;
    DType dtype;  // what the file takes or gives
    Shape source_shape;
    Order order;
    int tensor;  // its index in the file
  };

  const std::optional<TflQuantization>& quantization(int tensor) const {
    static const std::optional<TflQuantization> none;
    return tensor < 0 ? none : graph_.graph.tensors.at(static_cast<std::size_t>(tensor)).quantization;
  }

  // The file's own record of the order; without it, the order in which the shape fits the other side's, channels last first.
  std::vector<Port> ports(const std::vector<TensorInfo>& list, const std::vector<wherry::Port>& tensors,
                          const std::vector<NamedType>& like) const {
    std::vector<Port> result;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Shape& shape = list[i].type.shape;
      Order order = identity(shape.size());
      const Order last = channels_last(shape.size());
      if (provenance_ && provenance_->ports.contains(list[i].name))
        order = provenance_->ports.at(list[i].name);
      else if (i < like.size() && like[i].type.shape != shape && shape.size() > 2 && in_order(shape, last) == like[i].type.shape)
        order = last;
      if (order.size() != shape.size()) order = identity(shape.size());
      const auto tensor = std::find_if(tensors.begin(), tensors.end(), [&](const wherry::Port& port) { return port.name == list[i].name; });
      result.push_back({list[i].name, list[i].type.dtype, in_order(shape, order), order, tensor == tensors.end() ? -1 : tensor->value});
    }
    return result;
  }

  // A port of integers that stand for reals is one of reals to its callers.
  std::vector<NamedType> named(const std::vector<Port>& list) const {
    std::vector<NamedType> out;
    for (const Port& port : list) {
      const DType dtype = stands_for_reals(port.dtype, quantization(port.tensor)) ? DType::float32 : port.dtype;
      out.push_back({port.name, {dtype, port.source_shape}});
    }
    return out;
  }

  // Turned to the file's order; reals become integers where the file takes integers that stand for reals.
  std::vector<Tensor> as_the_file_takes(const std::vector<Tensor>& inputs) const {
    std::vector<Tensor> turned;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Port& port = inputs_.at(i);
      const Tensor tensor = inputs[i].permuted(inverse(port.order)).contiguous();
      const std::optional<TflQuantization>& q = quantization(port.tensor);
      const bool to_integers = is_float(tensor.dtype()) && stands_for_reals(port.dtype, q) && q->scales.size() == 1;
      turned.push_back(to_integers ? quantize(tensor, port.dtype, *q) : tensor);
    }
    return turned;
  }

  Tensor reals(const Tensor& tensor, int id) const {
    const std::optional<TflQuantization>& q = quantization(id);
    return stands_for_reals(tensor.dtype(), q) ? dequantize(tensor, *q) : tensor;
  }

  // Somebody else's file: what each operator makes, under the tensor's own name.
  std::vector<Provenance::Layer> layers_by_tensor() const {
    std::vector<Provenance::Layer> layers;
    for (const TflNode& node : graph_.graph.nodes)
      for (const int output : node.outputs) {
        if (output < 0) continue;
        const TflTensor& tensor = graph_.graph.tensors[static_cast<std::size_t>(output)];
        layers.push_back({output, tensor.name, identity(tensor.sizes.size())});
      }
    return layers;
  }

  std::filesystem::path file_;
  int threads_;
  std::unique_ptr<LiteRtModel> model_;
  TflFile graph_;
  std::optional<Provenance> provenance_;
  std::vector<Port> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Side> litert_side(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs,
                                  const std::vector<NamedType>& like_outputs, int threads) {
  return std::make_unique<LiteRtSide>(file, like_inputs, like_outputs, threads);
}

}  // namespace wherry
