#include "tflite_schema/read_tfl_graph.h"

#include "base/diagnostics.h"
#include "ir/packed.h"
#include "tflite_schema/read_options.h"
#include "tflite_schema/tflite_model.h"

#include <cstring>

namespace wherry {
namespace {

using flatbuffers::uoffset_t;

std::string text_of(const flatbuffers::String* string) { return string ? string->str() : std::string(); }

class Reader {
 public:
  explicit Reader(const std::shared_ptr<const MappedFile>& file) : file_(file), model_(tflite_model(file->bytes())) {}

  TflFile run() {
    const auto* signatures = model_.signature_defs();
    const tflite::SignatureDef* signature = signatures && signatures->size() > 0 ? signatures->Get(0) : nullptr;
    const tflite::SubGraph& graph = *model_.subgraphs()->Get(signature ? signature->subgraph_index() : 0);
    out_.subgraphs = model_.subgraphs()->size();
    out_.graph.name = graph.name() && graph.name()->size() > 0 ? graph.name()->str() : file_->path().stem().string();
    if (graph.tensors())
      for (const tflite::Tensor* tensor : *graph.tensors()) add_tensor(*tensor);
    check_block_scales();
    if (graph.operators())
      for (const tflite::Operator* op : *graph.operators()) add_node(*op);
    out_.graph.inputs = ports(signature ? signature->inputs() : nullptr, graph.inputs());
    out_.graph.outputs = ports(signature ? signature->outputs() : nullptr, graph.outputs());
    if (model_.metadata())
      for (const tflite::Metadata* entry : *model_.metadata()) {
        const std::span<const std::byte> bytes = buffer(entry->buffer(), "metadata");
        out_.metadata[text_of(entry->name())].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
    return std::move(out_);
  }

 private:
  [[noreturn]] void damaged(const char* code, std::string what) const {
    fail({.code = code,
          .message = fmt::format("'{}': {}", file_->path().string(), what),
          .next = "the file is damaged, or was written by a faulty tool: write it again"});
  }

  // A buffer's bytes: inside the FlatBuffer, or behind it in files that grew too large.
  std::span<const std::byte> buffer(std::uint32_t index, std::string_view whose) const {
    const tflite::Buffer& table = *model_.buffers()->Get(index);
    if (const auto* data = table.data(); data && data->size() > 0) return std::as_bytes(std::span(data->data(), data->size()));
    if (table.offset() <= 1) return {};
    const std::size_t all = file_->bytes().size();
    if (table.offset() > all || table.size() > all - table.offset())
      damaged("E105", fmt::format("the bytes of '{}' lie outside of the file", whose));
    return file_->bytes().subspan(table.offset(), table.size());
  }

  Sizes sizes_of(const tflite::Tensor& tensor, const std::string& name) const {
    Sizes sizes;
    std::int64_t count = 1;
    for (uoffset_t i = 0; tensor.shape() && i < tensor.shape()->size(); ++i) {
      const std::int64_t size = tensor.shape()->Get(i);
      sizes.push_back(size);
      if (size < 0 || __builtin_mul_overflow(count, std::max<std::int64_t>(size, 1), &count) || count > std::int64_t{1} << 40)
        damaged("E503", fmt::format("tensor '{}' has the shape {}", name, wherry::text(Attr(sizes))));
    }
    return sizes;
  }

  void add_tensor(const tflite::Tensor& tensor) {
    const auto id = static_cast<int>(out_.graph.tensors.size());
    TflTensor made{.name = text_of(tensor.name())};
    made.sizes = sizes_of(tensor, made.name);
    const std::optional<DType> dtype = dtype_of(tensor.type());
    made.dtype = dtype.value_or(DType::uint8);
    if (!dtype) out_.other_types[id] = tflite::EnumNameTensorType(tensor.type());
    if (const auto* open = tensor.shape_signature(); open && open->size() == made.sizes.size())
      if (Sizes sizes(open->begin(), open->end()); sizes != made.sizes) out_.open_sizes[id] = std::move(sizes);
    made.quantization = quantization(tensor.quantization());
    const std::span<const std::byte> bytes = buffer(tensor.buffer(), made.name);
    if (dtype && !tensor.is_variable() && (!bytes.empty() || (tensor.buffer() != 0 && element_count(made.sizes) == 0)))
      made.constant = constant(made, bytes);
    out_.graph.tensors.push_back(std::move(made));
  }

  static std::optional<TflQuantization> quantization(const tflite::QuantizationParameters* p) {
    if (!p) return std::nullopt;
    TflQuantization q;
    if (const auto* block = p->details_as_BlockwiseQuantization()) {
      q.block_scales = block->scales();
      q.block_size = block->block_size();
      return q;
    }
    if (!p->scale() || p->scale()->size() == 0) return std::nullopt;
    q.scales.assign(p->scale()->begin(), p->scale()->end());
    if (p->zero_point()) q.zero_points.assign(p->zero_point()->begin(), p->zero_point()->end());
    q.axis = p->quantized_dimension();
    return q;
  }

  void check_block_scales() const {
    for (const TflTensor& tensor : out_.graph.tensors)
      if (tensor.quantization && tensor.quantization->scales.empty() &&
          (tensor.quantization->block_scales < 0 ||
           static_cast<std::size_t>(tensor.quantization->block_scales) >= out_.graph.tensors.size()))
        damaged("E107", fmt::format("the scales of '{}' are in a tensor that does not exist", tensor.name));
  }

  Tensor constant(const TflTensor& tensor, std::span<const std::byte> bytes) const {
    const std::size_t wanted = stored_size(tensor.dtype, element_count(tensor.sizes));
    if (bytes.size() != wanted)
      damaged("E105", fmt::format("tensor '{}' is {}, which takes {} bytes, and has {}", tensor.name,
                                  text(Type{tensor.dtype, to_shape(tensor.sizes)}), wanted, bytes.size()));
    if (is_packed(tensor.dtype)) return unpacked(bytes, tensor.dtype, tensor.sizes);
    const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % byte_size(tensor.dtype) == 0;
    if (aligned) return {tensor.dtype, tensor.sizes, contiguous_strides(tensor.sizes), bytes.data(), file_};
    Tensor copy = Tensor::allocate(tensor.dtype, tensor.sizes);
    std::memcpy(copy.mutable_data(), bytes.data(), bytes.size());
    return copy;
  }

  static std::string operator_name(const tflite::OperatorCode& code) {
    const int number = std::max(static_cast<int>(code.deprecated_builtin_code()), static_cast<int>(code.builtin_code()));
    const auto builtin = static_cast<tflite::BuiltinOperator>(number);
    if (builtin == tflite::BuiltinOperator::CUSTOM) return text_of(code.custom_code());
    const char* known = tflite::EnumNameBuiltinOperator(builtin);
    return *known ? known : fmt::format("operator {}", number);
  }

  void add_node(const tflite::Operator& op) {
    const tflite::OperatorCode& code = *model_.operator_codes()->Get(op.opcode_index());
    TflNode node{.builtin = operator_name(code)};
    if (op.inputs()) node.inputs.assign(op.inputs()->begin(), op.inputs()->end());
    if (op.outputs()) node.outputs.assign(op.outputs()->begin(), op.outputs()->end());
    node.options = read_options(op);
    if (!node.outputs.empty() && node.outputs[0] >= 0) node.path = out_.graph.tensors[static_cast<std::size_t>(node.outputs[0])].name;
    out_.graph.nodes.push_back(std::move(node));
    out_.versions.push_back(code.version());
  }

  template <class Maps>
  std::vector<Port> ports(const Maps* maps, const flatbuffers::Vector<std::int32_t>* indices) const {
    std::vector<Port> list;
    if (maps)
      for (const tflite::TensorMap* map : *maps) list.push_back({map->name()->str(), static_cast<int>(map->tensor_index())});
    else if (indices)
      for (const std::int32_t index : *indices) list.push_back({out_.graph.tensors[static_cast<std::size_t>(index)].name, index});
    return list;
  }

  const std::shared_ptr<const MappedFile>& file_;
  const tflite::Model& model_;
  TflFile out_;
};

}  // namespace

TflFile read_tfl_graph(const std::shared_ptr<const MappedFile>& file) {
  if (const std::string reason = why_not_tflite(file->bytes()); !reason.empty())
    fail({.code = "E107",
          .message = fmt::format("'{}' is no .tflite file: {}", file->path().string(), reason),
          .next = "check that the file is whole"});
  return Reader(file).run();
}

TflFile read_tfl_graph(const std::filesystem::path& file) { return read_tfl_graph(MappedFile::open(file)); }

}  // namespace wherry
