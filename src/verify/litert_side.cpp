#include "base/files.h"
#include "base/text.h"
#include "runtime/litert.h"
#include "runtime/tflite_file.h"
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
      : file_(file), threads_(threads), model_(LiteRtModel::from_file(file, threads)) {
    const TfliteSummary summary = summarize_tflite(file);
    if (const auto text = summary.metadata.find("WHERRY_PROVENANCE"); text != summary.metadata.end())
      provenance_ = parse_provenance(text->second);
    inputs_ = ports(model_->inputs(), like_inputs);
    outputs_ = ports(model_->outputs(), like_outputs);
  }

  std::string what() const override { return file_.filename().string() + " in LiteRT"; }
  std::vector<NamedType> inputs() const override { return named(inputs_); }
  std::vector<NamedType> outputs() const override { return named(outputs_); }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    return in_source_order(model_->run(in_file_order(inputs)), outputs_);
  }

  // The same file with every layer's tensor as an output.
  std::vector<Layer> run_layers(const std::vector<Tensor>& inputs) override {
    std::vector<Layer> layers;
    if (!provenance_) return layers;
    std::vector<wherry::Port> taps;
    for (const Provenance::Layer& layer : provenance_->layers) taps.push_back({layer.name, layer.tensor});
    const TappedTflite tapped = with_outputs(MappedFile::open(file_)->bytes(), taps);
    const std::vector<Tensor> found = LiteRtModel::from_bytes(tapped.bytes, what(), threads_)->run(in_file_order(inputs));
    for (std::size_t i = 0; i < taps.size(); ++i) {
      const int output = tapped.output[i];
      if (output >= 0)
        layers.push_back({taps[i].name, found.at(static_cast<std::size_t>(output)).permuted(provenance_->layers[i].order).contiguous()});
    }
    return layers;
  }

 private:
  struct Port {
    std::string name;
    DType dtype;
    Shape source_shape;
    Order order;
  };

  // The file's own record of the order; without it, the order in which the shape fits the other side's, channels last first.
  std::vector<Port> ports(const std::vector<TensorInfo>& list, const std::vector<NamedType>& like) const {
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
      result.push_back({list[i].name, list[i].type.dtype, in_order(shape, order), order});
    }
    return result;
  }

  static std::vector<NamedType> named(const std::vector<Port>& ports) {
    std::vector<NamedType> list;
    for (const Port& port : ports) list.push_back({port.name, {port.dtype, port.source_shape}});
    return list;
  }

  std::vector<Tensor> in_file_order(const std::vector<Tensor>& inputs) const {
    std::vector<Tensor> turned;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      turned.push_back(inputs[i].permuted(inverse(inputs_.at(i).order)).contiguous().cast(inputs_[i].dtype));
    return turned;
  }

  static std::vector<Tensor> in_source_order(const std::vector<Tensor>& outputs, const std::vector<Port>& ports) {
    std::vector<Tensor> turned;
    for (std::size_t i = 0; i < outputs.size(); ++i) turned.push_back(outputs[i].permuted(ports.at(i).order).contiguous());
    return turned;
  }

  std::filesystem::path file_;
  int threads_;
  std::unique_ptr<LiteRtModel> model_;
  std::optional<Provenance> provenance_;
  std::vector<Port> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Side> litert_side(const std::filesystem::path& file, const std::vector<NamedType>& like_inputs,
                                  const std::vector<NamedType>& like_outputs, int threads) {
  return std::make_unique<LiteRtSide>(file, like_inputs, like_outputs, threads);
}

}  // namespace wherry
