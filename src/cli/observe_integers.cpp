#include "cli/observe_integers.h"

#include "data/inputs.h"
#include "runtime/quantized_values.h"
#include "runtime/tflite_file.h"

namespace wherry {

namespace {

std::vector<InputPort> input_ports(const TflFile& file, const std::vector<TensorInfo>& infos) {
  std::vector<InputPort> ports;
  for (const TensorInfo& info : infos) {
    InputPort port{.name = info.name, .type = info.type};
    const Shape& shape = info.type.shape;
    port.channels_last = shape.size() == 4 && shape[3] == Dim(3);
    for (const Port& own : file.graph.inputs) {
      const TflTensor& tensor = file.graph.tensors[static_cast<std::size_t>(own.value)];
      if (own.name != info.name || !stands_for_reals(tensor.dtype, tensor.quantization)) continue;
      port.scale = double{tensor.quantization->scales[0]};
      port.zero_point = tensor.quantization->zero_points.empty() ? 0 : tensor.quantization->zero_points[0];
    }
    ports.push_back(std::move(port));
  }
  return ports;
}

template <class T>
void count(std::span<const T> values, AuditObserved& o) {
  const auto least = std::count(values.begin(), values.end(), std::numeric_limits<T>::min());
  const auto most = std::count(values.begin(), values.end(), std::numeric_limits<T>::max());
  ++o.samples, o.elements += values.size();
  o.at_least += static_cast<std::size_t>(least), o.at_most += static_cast<std::size_t>(most);
  o.top_at_most += most > 0 ? 1 : 0, o.two_at_most += most > 1 ? 1 : 0;
}

void count(const Tensor& tensor, AuditObserved& o) {
  if (tensor.dtype() == DType::int8) count(tensor.as<std::int8_t>(), o);
  if (tensor.dtype() == DType::uint8) count(tensor.as<std::uint8_t>(), o);
  if (tensor.dtype() == DType::int16) count(tensor.as<std::int16_t>(), o);
}

}  // namespace

std::map<int, AuditObserved> observe_integers(const std::filesystem::path& path, const TflFile& file, const std::filesystem::path& data,
                                              const std::optional<Preprocess>& preprocess, std::size_t most, int threads,
                                              const std::function<void(std::size_t done, std::size_t total)>& progress) {
  std::vector<Port> taps;
  for (const TflNode& node : file.graph.nodes)
    for (const int id : node.outputs)
      if (id >= 0 && stands_for_reals(file.graph.tensors[static_cast<std::size_t>(id)].dtype,
                                      file.graph.tensors[static_cast<std::size_t>(id)].quantization))
        taps.push_back({file.graph.tensors[static_cast<std::size_t>(id)].name, id});
  const TappedTflite tapped = with_outputs(MappedFile::open(path)->bytes(), taps);
  const auto model = LiteRtModel::from_bytes(tapped.bytes, path.string(), threads);
  Diagnostics diagnostics;
  const Inputs inputs(Dataset::open(data)->evenly(most), input_ports(file, model->inputs()), preprocess, diagnostics);
  diagnostics.throw_if_errors();
  std::map<int, AuditObserved> observed;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<Tensor> found = model->run(inputs.load(i));
    for (std::size_t t = 0; t < taps.size(); ++t)
      if (tapped.output[t] >= 0) count(found.at(static_cast<std::size_t>(tapped.output[t])), observed[taps[t].value]);
    progress(i + 1, inputs.size());
  }
  return observed;
}

}  // namespace wherry
