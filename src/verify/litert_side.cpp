#include "base/files.h"
#include "base/text.h"
#include "runtime/litert.h"
#include "runtime/quantized_values.h"
#include "runtime/tflite_file.h"
#include "tflite_schema/read_tfl_graph.h"
#include "tflite_schema/tflite_model.h"
#include "verify/port_order.h"

namespace wherry {

namespace {

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
      const Tensor tensor = as_the_source_has(wanted[i], reals(found.at(static_cast<std::size_t>(tapped.output[i])), taps[i].value));
      if (wanted[i].order.size() == tensor.sizes().size()) layers.push_back({taps[i].name, tensor.permuted(wanted[i].order).contiguous()});
    }
    return layers;
  }

 private:
  struct Port : OrderedPort {
    int tensor;  // its index in the file
  };

  const std::optional<TflQuantization>& quantization(int tensor) const {
    static const std::optional<TflQuantization> none;
    return tensor < 0 ? none : graph_.graph.tensors.at(static_cast<std::size_t>(tensor)).quantization;
  }

  std::vector<Port> ports(const std::vector<TensorInfo>& list, const std::vector<wherry::Port>& tensors,
                          const std::vector<NamedType>& like) const {
    std::vector<NamedType> types;
    for (const TensorInfo& info : list) types.push_back({info.name, info.type});
    std::vector<Port> result;
    for (OrderedPort& port : ordered_ports(types, like, provenance_)) {
      const auto tensor = std::find_if(tensors.begin(), tensors.end(), [&](const wherry::Port& p) { return p.name == port.name; });
      result.push_back({std::move(port), tensor == tensors.end() ? -1 : tensor->value});
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
      const Tensor tensor = in_file_order(inputs[i], port);
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

  // Channels that quantization scaled or moved, back in the source's units.
  static Tensor as_the_source_has(const Provenance::Layer& layer, const Tensor& tensor) {
    const std::size_t wide = tensor.sizes().empty() ? 1 : static_cast<std::size_t>(tensor.sizes().back());
    const bool scaled = layer.factors.size() == wide, moved = layer.offsets.size() == wide;
    if ((!scaled && !moved) || tensor.dtype() != DType::float32) return tensor;
    std::vector<float> values = tensor.to_floats();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (scaled) values[i] *= layer.factors[i % wide];
      if (moved) values[i] += layer.offsets[i % wide];
    }
    return Tensor::from(values, tensor.sizes());
  }

  // Somebody else's file: what each operator makes, under the tensor's own name.
  std::vector<Provenance::Layer> layers_by_tensor() const {
    std::vector<Provenance::Layer> layers;
    for (const TflNode& node : graph_.graph.nodes)
      for (const int output : node.outputs) {
        if (output < 0) continue;
        const TflTensor& tensor = graph_.graph.tensors[static_cast<std::size_t>(output)];
        layers.push_back({output, tensor.name, source_order(tensor.sizes.size())});
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
