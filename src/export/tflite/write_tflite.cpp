#include "export/tflite/write_tflite.h"

#include "base/check.h"
#include "base/text.h"
#include "export/tflite/model_metadata.h"
#include "export/tflite/op_version.h"
#include "export/tflite/options.h"
#include "ir/packed.h"
#include "tflite_schema/tflite_model.h"

#include <limits>
#include <unordered_map>

namespace wherry {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::uoffset_t;

constexpr std::size_t alignment = 16;
constexpr std::size_t small = 4096;  // constants up to this size share a buffer when their bytes are equal

std::size_t aligned(std::size_t position) { return (position + alignment - 1) / alignment * alignment; }

// What one Buffer table holds: a tensor's elements, or bytes made here.
struct Data {
  const Tensor* tensor = nullptr;
  std::string bytes = {};
  std::size_t size() const { return tensor ? stored_size(tensor->dtype(), tensor->count()) : bytes.size(); }
};

std::string elements(const Tensor& tensor) {
  std::string bytes(tensor.bytes(), '\0');
  tensor.copy_to(reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

// The file's buffers in order; the first is the empty one that all tensors without constant elements name.
class Buffers {
 public:
  std::uint32_t add(const Tensor& tensor) {
    const bool is_small = tensor.bytes() <= small;
    const auto [found, is_new] = known_.try_emplace(
        is_small ? elements(tensor) + fmt::format("{}", bits(tensor.dtype()) < 8 ? bits(tensor.dtype()) : 0) : view(tensor), count());
    if (is_new) all_.push_back({&tensor});
    return found->second;
  }
  std::uint32_t add(std::string bytes) {
    all_.push_back({nullptr, std::move(bytes)});
    return count() - 1;
  }
  const std::vector<Data>& all() const { return all_; }

 private:
  std::uint32_t count() const { return static_cast<std::uint32_t>(all_.size()); }
  // The same elements in the same order of the same memory.
  static std::string view(const Tensor& t) {
    return fmt::format("{} {} {} {}", fmt::ptr(t.storage()), name(t.dtype()), text(Attr(t.sizes())), text(Attr(t.strides())));
  }
  std::vector<Data> all_ = std::vector<Data>(1);
  std::unordered_map<std::string, std::uint32_t> known_;
};

// Where the bytes go: a file, or a string.
struct Sink {
  std::function<void(std::span<const std::byte>)> put;
  std::size_t size = 0;
  void write(std::span<const std::byte> bytes) {
    put(bytes);
    size += bytes.size();
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
};

class OperatorCodes {
 public:
  std::uint32_t index(tflite::BuiltinOperator code, int version) {
    for (std::size_t i = 0; i < codes_.size(); ++i)
      if (codes_[i] == std::pair(code, version)) return static_cast<std::uint32_t>(i);
    codes_.emplace_back(code, version);
    return static_cast<std::uint32_t>(codes_.size() - 1);
  }
  auto write(FlatBufferBuilder& builder) const {
    std::vector<Offset<tflite::OperatorCode>> out;
    for (const auto& [code, version] : codes_) {
      const auto old = std::min(static_cast<int>(code), static_cast<int>(tflite::BuiltinOperator::PLACEHOLDER_FOR_GREATER_OP_CODES));
      out.push_back(tflite::CreateOperatorCode(builder, static_cast<std::int8_t>(old), 0, version, code));
    }
    return builder.CreateVector(out);
  }

 private:
  std::vector<std::pair<tflite::BuiltinOperator, int>> codes_;
};

std::vector<std::int32_t> tensors_of(const std::vector<Port>& ports) {
  std::vector<std::int32_t> out;
  for (const Port& port : ports) out.push_back(port.value);
  return out;
}

Offset<tflite::QuantizationParameters> write_quantization(FlatBufferBuilder& builder, const std::optional<TflQuantization>& q) {
  if (!q) return 0;
  if (q->block_size == 0)
    return tflite::CreateQuantizationParametersDirect(builder, nullptr, nullptr, &q->scales, &q->zero_points,
                                                      tflite::QuantizationDetails::NONE, 0, q->axis);
  const auto blocks = tflite::CreateBlockwiseQuantization(builder, q->block_scales, -1, q->block_size);
  return tflite::CreateQuantizationParametersDirect(builder, nullptr, nullptr, nullptr, nullptr,
                                                    tflite::QuantizationDetails::BlockwiseQuantization, blocks.Union(), q->axis);
}

auto write_tensors(FlatBufferBuilder& builder, const TflGraph& graph, Buffers& buffers) {
  std::vector<Offset<tflite::Tensor>> out;
  for (const TflTensor& tensor : graph.tensors) {
    const std::vector<std::int32_t> shape(tensor.sizes.begin(), tensor.sizes.end());
    const std::uint32_t buffer = tensor.constant ? buffers.add(*tensor.constant) : 0;
    const auto quantization = write_quantization(builder, tensor.quantization);
    out.push_back(tflite::CreateTensorDirect(builder, &shape, tensor_type(tensor.dtype), buffer, tensor.name.c_str(), quantization));
  }
  return builder.CreateVector(out);
}

auto write_operators(FlatBufferBuilder& builder, const TflGraph& graph, OperatorCodes& codes, std::string& runtime) {
  std::vector<Offset<tflite::Operator>> out;
  for (const TflNode& node : graph.nodes) {
    const OpVersion least = op_version(graph, node);
    if (older(runtime, least.runtime)) runtime = least.runtime;
    const WrittenOptions options = write_options(builder, node);
    const auto inputs = builder.CreateVector(std::vector<std::int32_t>(node.inputs.begin(), node.inputs.end()));
    const auto outputs = builder.CreateVector(std::vector<std::int32_t>(node.outputs.begin(), node.outputs.end()));
    tflite::OperatorBuilder op(builder);
    op.add_opcode_index(codes.index(builtin_operator(node.builtin), least.version));
    op.add_inputs(inputs);
    op.add_outputs(outputs);
    op.add_builtin_options_type(options.type);
    if (options.type != tflite::BuiltinOptions::NONE) op.add_builtin_options(options.table);
    op.add_builtin_options_2_type(options.type2);
    if (options.type2 != tflite::BuiltinOptions2::NONE) op.add_builtin_options_2(options.table);
    out.push_back(op.Finish());
  }
  return builder.CreateVector(out);
}

auto write_ports(FlatBufferBuilder& builder, const std::vector<Port>& ports) {
  std::vector<Offset<tflite::TensorMap>> out;
  for (const Port& port : ports)
    out.push_back(tflite::CreateTensorMapDirect(builder, port.name.c_str(), static_cast<std::uint32_t>(port.value)));
  return builder.CreateVector(out);
}

auto write_signature(FlatBufferBuilder& builder, const TflGraph& graph) {
  const auto inputs = write_ports(builder, graph.inputs), outputs = write_ports(builder, graph.outputs);
  const auto key = builder.CreateString(tflite_signature.data(), tflite_signature.size());
  const std::vector<Offset<tflite::SignatureDef>> one = {tflite::CreateSignatureDef(builder, inputs, outputs, key)};
  return builder.CreateVector(one);
}

auto write_metadata(FlatBufferBuilder& builder, const TflGraph& graph, const TfliteMetadata& metadata, std::string runtime,
                    Buffers& buffers) {
  std::vector<Offset<tflite::Metadata>> out;
  const auto add = [&](std::string_view name, std::string bytes) {
    out.push_back(tflite::CreateMetadataDirect(builder, std::string(name).c_str(), buffers.add(std::move(bytes))));
  };
  runtime.resize(16, '\0');  // the convention's fixed size
  add(tflite_min_runtime_version, std::move(runtime));
  add(tflite_model_metadata, model_metadata(graph, metadata));
  if (!metadata.provenance.empty()) add(tflite_provenance, metadata.provenance);
  return builder.CreateVector(out);
}

// Each Buffer's data field is there, but points nowhere yet: its vector is appended to the file, not built.
auto write_buffers(FlatBufferBuilder& builder, const std::vector<Data>& buffers) {
  std::vector<Offset<tflite::Buffer>> out = {tflite::CreateBuffer(builder)};
  for (std::size_t i = 1; i < buffers.size(); ++i) {
    const uoffset_t start = builder.StartTable();
    builder.AddElement<uoffset_t>(tflite::Buffer::VT_DATA, 1);
    out.emplace_back(builder.EndTable(start));
  }
  return builder.CreateVector(out);
}

void build_tables(FlatBufferBuilder& builder, const TflGraph& graph, const TfliteMetadata& metadata, Buffers& buffers) {
  OperatorCodes codes;
  std::string runtime = "1.5.0";
  const auto tensors = write_tensors(builder, graph, buffers);
  const auto inputs = builder.CreateVector(tensors_of(graph.inputs)), outputs = builder.CreateVector(tensors_of(graph.outputs));
  const auto operators = write_operators(builder, graph, codes, runtime);
  const auto name = builder.CreateString(graph.name);
  const std::vector<Offset<tflite::SubGraph>> graphs = {tflite::CreateSubGraph(builder, tensors, inputs, outputs, operators, name)};
  const auto subgraphs = builder.CreateVector(graphs);
  const auto signatures = write_signature(builder, graph);
  const auto entries = write_metadata(builder, graph, metadata, runtime, buffers);
  const auto description = builder.CreateString(metadata.description);
  const auto written_codes = codes.write(builder);
  const auto written_buffers = write_buffers(builder, buffers.all());
  builder.Finish(tflite::CreateModel(builder, 3, written_codes, subgraphs, description, written_buffers, 0, entries, signatures),
                 tflite::ModelIdentifier());
}

// Lets each Buffer point to where its vector will lie: first a length word, then the bytes, these 16-byte aligned.
std::vector<std::size_t> place_data(FlatBufferBuilder& builder, const std::vector<Data>& buffers) {
  std::uint8_t* file = builder.GetBufferPointer();
  tflite::Model& model = *flatbuffers::GetMutableRoot<tflite::Model>(file);
  std::vector<std::size_t> positions = {0};
  std::size_t end = builder.GetSize();
  for (std::size_t i = 1; i < buffers.size(); ++i) {
    const std::size_t data = aligned(end + sizeof(uoffset_t));
    const auto* table = reinterpret_cast<const flatbuffers::Table*>(model.buffers()->Get(static_cast<uoffset_t>(i)));
    auto* field = const_cast<std::uint8_t*>(table->GetAddressOf(tflite::Buffer::VT_DATA));
    flatbuffers::WriteScalar(field, static_cast<uoffset_t>(data - sizeof(uoffset_t) - static_cast<std::size_t>(field - file)));
    positions.push_back(data);
    end = data + buffers[i].size();
  }
  positions.push_back(end);
  return positions;
}

void write_data(const std::vector<Data>& buffers, const std::vector<std::size_t>& positions, Sink& file) {
  std::string scratch;  // as large as the largest tensor that has to be put in order
  for (std::size_t i = 1; i < buffers.size(); ++i) {
    const std::string zeros(positions[i] - sizeof(uoffset_t) - file.size, '\0');
    const auto length = static_cast<uoffset_t>(buffers[i].size());
    file.write(zeros);
    file.write(std::as_bytes(std::span(&length, 1)));
    const Tensor* tensor = buffers[i].tensor;
    if (!tensor) {
      file.write(buffers[i].bytes);
    } else if (is_packed(tensor->dtype())) {
      file.write(packed(*tensor));
    } else if (tensor->is_contiguous()) {
      file.write({tensor->data(), tensor->bytes()});
    } else {
      scratch.resize(std::max(scratch.size(), tensor->bytes()));
      tensor->copy_to(reinterpret_cast<std::byte*>(scratch.data()));
      file.write(std::string_view(scratch).substr(0, tensor->bytes()));
    }
  }
}

void refuse_above_2_gb(const TflGraph& graph, const Buffers& buffers) {
  constexpr std::size_t limit = std::numeric_limits<std::int32_t>::max();
  std::size_t total = 0;
  for (const Data& data : buffers.all()) total += data.size() + 2 * alignment;
  if (total + (std::size_t{1} << 24) < limit) return;
  const auto mb = static_cast<double>(total);
  fail({.code = "E603",
        .message = fmt::format("'{}' has {} of weights, and a .tflite file ends below 2 GB", graph.name, human_bytes(mb)),
        .next = "convert with --precision float16 or int8, or split the model"});
}

void write_model(const TflGraph& graph, const TfliteMetadata& metadata, Sink& sink) {
  FlatBufferBuilder builder(std::size_t{1} << 16);
  Buffers buffers;
  build_tables(builder, graph, metadata, buffers);
  refuse_above_2_gb(graph, buffers);
  const std::vector<std::size_t> positions = place_data(builder, buffers.all());
  sink.write(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())));
  write_data(buffers.all(), positions, sink);
}

}  // namespace

void write_tflite(const TflGraph& graph, const TfliteMetadata& metadata, AtomicFile& file) {
  WHERRY_CHECK(file.size() == 0, "a .tflite is written from the start of its file");
  Sink sink{[&](std::span<const std::byte> bytes) { file.write(bytes); }};
  write_model(graph, metadata, sink);
  append_associated_files(metadata, file);
}

std::string tflite_bytes(const TflGraph& graph) {
  std::string out;
  Sink sink{[&](std::span<const std::byte> bytes) { out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size()); }};
  write_model(graph, {}, sink);
  return out;
}

}  // namespace wherry
