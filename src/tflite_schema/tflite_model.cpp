#include "tflite_schema/tflite_model.h"

#include "base/diagnostics.h"

#include <utility>

namespace wherry {
namespace {

using tflite::TensorType;
constexpr std::pair<DType, TensorType> types[] = {
    {DType::float32, TensorType::FLOAT32},
    {DType::float16, TensorType::FLOAT16},
    {DType::bfloat16, TensorType::BFLOAT16},
    {DType::float64, TensorType::FLOAT64},
    {DType::int8, TensorType::INT8},
    {DType::uint8, TensorType::UINT8},
    {DType::int16, TensorType::INT16},
    {DType::int32, TensorType::INT32},
    {DType::int64, TensorType::INT64},
    {DType::boolean, TensorType::BOOL},
    {DType::complex64, TensorType::COMPLEX64},
    {DType::complex128, TensorType::COMPLEX128},
    {DType::uint16, TensorType::UINT16},
    {DType::uint32, TensorType::UINT32},
    {DType::uint64, TensorType::UINT64},
    {DType::int4, TensorType::INT4},
    {DType::uint4, TensorType::UINT4},
    {DType::int2, TensorType::INT2},
    {DType::float8_e4m3fn, TensorType::FLOAT8_E4M3FN},
    {DType::float8_e5m2, TensorType::FLOAT8_E5M2},
};

template <class T>
std::size_t length(const flatbuffers::Vector<T>* vector) {
  return vector ? vector->size() : 0;
}

// Every index is one of a tensor, or -1 where that is allowed.
bool within(const flatbuffers::Vector<std::int32_t>* indices, std::size_t tensors, int least) {
  for (std::size_t i = 0; i < length(indices); ++i) {
    const std::int32_t index = indices->Get(static_cast<flatbuffers::uoffset_t>(i));
    if (index < least || index >= static_cast<std::int64_t>(tensors)) return false;
  }
  return true;
}

std::string why_not_subgraph(const tflite::Model& model, const tflite::SubGraph& graph) {
  const std::size_t tensors = length(graph.tensors()), buffers = length(model.buffers()), codes = length(model.operator_codes());
  for (std::size_t i = 0; i < tensors; ++i) {
    const tflite::Tensor& tensor = *graph.tensors()->Get(static_cast<flatbuffers::uoffset_t>(i));
    if (tensor.buffer() >= buffers) return fmt::format("tensor {} names buffer {} of {}", i, tensor.buffer(), buffers);
  }
  if (!within(graph.inputs(), tensors, 0) || !within(graph.outputs(), tensors, 0)) return "an input or output is no tensor of the graph";
  for (std::size_t i = 0; i < length(graph.operators()); ++i) {
    const tflite::Operator& op = *graph.operators()->Get(static_cast<flatbuffers::uoffset_t>(i));
    if (op.opcode_index() >= codes) return fmt::format("operator {} has code {} of {}", i, op.opcode_index(), codes);
    if (!within(op.inputs(), tensors, -1) || !within(op.outputs(), tensors, -1) || !within(op.intermediates(), tensors, -1))
      return fmt::format("operator {} names a tensor that does not exist", i);
  }
  return {};
}

template <class Maps>
bool signature_within(const Maps* maps, std::size_t tensors) {
  for (std::size_t i = 0; i < length(maps); ++i) {
    const tflite::TensorMap& map = *maps->Get(static_cast<flatbuffers::uoffset_t>(i));
    if (!map.name() || map.tensor_index() >= tensors) return false;
  }
  return true;
}

}  // namespace

std::string why_not_tflite(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (bytes.size() < 8 || !tflite::ModelBufferHasIdentifier(data)) return "it lacks the mark TFL3";
  if (bytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return "it is larger than 2 GB";
  flatbuffers::Verifier verifier(data, bytes.size());
  if (!tflite::VerifyModelBuffer(verifier)) return "its tables are damaged or cut off";

  const tflite::Model& model = *tflite::GetModel(data);
  if (length(model.subgraphs()) == 0) return "it holds no graph";
  for (const tflite::SubGraph* graph : *model.subgraphs())
    if (std::string reason = why_not_subgraph(model, *graph); !reason.empty()) return reason;
  if (model.metadata())
    for (const tflite::Metadata* entry : *model.metadata())
      if (entry->buffer() >= length(model.buffers())) return "a metadata entry names a buffer that does not exist";
  if (model.signature_defs())
    for (const tflite::SignatureDef* signature : *model.signature_defs()) {
      if (signature->subgraph_index() >= length(model.subgraphs())) return "a signature names a graph that does not exist";
      const std::size_t tensors = length(model.subgraphs()->Get(signature->subgraph_index())->tensors());
      if (!signature_within(signature->inputs(), tensors) || !signature_within(signature->outputs(), tensors))
        return "a signature names a tensor that does not exist";
    }
  return {};
}

tflite::TensorType tensor_type(DType dtype) {
  for (const auto& [ours, theirs] : types)
    if (ours == dtype) return theirs;
  fail({.code = "E202",
        .message = fmt::format("TFLite has no numbers of {}", name(dtype)),
        .next = "cast them to a type that it has before the model is exported, for example to float32 or int8"});
}

std::optional<DType> dtype_of(tflite::TensorType type) {
  for (const auto& [ours, theirs] : types)
    if (theirs == type) return ours;
  return std::nullopt;
}

}  // namespace wherry
