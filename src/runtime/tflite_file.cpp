#include "runtime/tflite_file.h"

#include "tflite_schema/tflite_model.h"

#include <cstring>
#include <set>

namespace wherry {
namespace {

using flatbuffers::uoffset_t;

std::size_t graph_index(const tflite::Model& model) {
  const auto* signatures = model.signature_defs();
  return signatures && signatures->size() > 0 ? signatures->Get(0)->subgraph_index() : 0;
}

const tflite::SubGraph& graph_of(const tflite::Model& model) { return *model.subgraphs()->Get(static_cast<uoffset_t>(graph_index(model))); }

std::string text_of(const flatbuffers::String* string) { return string ? string->str() : std::string(); }

Type type_of(const tflite::Tensor& tensor) {
  Type type{dtype_of(tensor.type()).value_or(DType::uint8), {}};
  const auto* shape = tensor.shape_signature() && tensor.shape_signature()->size() > 0 ? tensor.shape_signature() : tensor.shape();
  for (uoffset_t i = 0; shape && i < shape->size(); ++i)
    type.shape.push_back(shape->Get(i) < 0 ? Dim::symbol(fmt::format("d{}", i)) : Dim(shape->Get(i)));
  return type;
}

struct Named {
  std::string name;
  std::int32_t tensor;
};

// A graph's inputs or outputs under the names of its signature, or of its tensors where it has none.
template <class Maps>
std::vector<Named> ports(const Maps* maps, const flatbuffers::Vector<std::int32_t>* indices, const tflite::SubGraph& graph) {
  std::vector<Named> out;
  if (maps)
    for (const tflite::TensorMap* map : *maps) out.push_back({map->name()->str(), static_cast<std::int32_t>(map->tensor_index())});
  else if (indices)
    for (const std::int32_t index : *indices) out.push_back({text_of(graph.tensors()->Get(static_cast<uoffset_t>(index))->name()), index});
  return out;
}

std::vector<Named> ports(const tflite::Model& model, bool outputs) {
  const tflite::SubGraph& graph = graph_of(model);
  const auto* signatures = model.signature_defs();
  const tflite::SignatureDef* signature = signatures && signatures->size() > 0 ? signatures->Get(0) : nullptr;
  if (outputs) return ports(signature ? signature->outputs() : nullptr, graph.outputs(), graph);
  return ports(signature ? signature->inputs() : nullptr, graph.inputs(), graph);
}

std::string operator_name(const tflite::OperatorCode& code) {
  const int old = code.deprecated_builtin_code(), fresh = static_cast<int>(code.builtin_code());
  const auto builtin = static_cast<tflite::BuiltinOperator>(std::max(old, fresh));
  if (builtin == tflite::BuiltinOperator::CUSTOM) return text_of(code.custom_code());
  const char* known = tflite::EnumNameBuiltinOperator(builtin);
  return *known ? known : fmt::format("operator {}", std::max(old, fresh));
}

void count_operators(const tflite::Model& model, TfliteSummary& out) {
  for (const tflite::SubGraph* graph : *model.subgraphs()) {
    out.tensors += graph->tensors() ? graph->tensors()->size() : 0;
    if (!graph->operators()) continue;
    for (const tflite::Operator* op : *graph->operators()) {
      const tflite::OperatorCode& code = *model.operator_codes()->Get(op->opcode_index());
      TfliteSummary::Operator& seen = out.operators[operator_name(code)];
      ++seen.count;
      seen.version = std::max(seen.version, code.version());
    }
  }
}

std::string_view buffer_bytes(const tflite::Model& model, uoffset_t index) {
  const auto* data = model.buffers()->Get(index)->data();
  return data ? std::string_view(reinterpret_cast<const char*>(data->data()), data->size()) : std::string_view();
}

std::size_t weight_bytes(const tflite::Model& model) {
  std::set<std::uint32_t> used;
  for (const tflite::SubGraph* graph : *model.subgraphs())
    if (graph->tensors())
      for (const tflite::Tensor* tensor : *graph->tensors()) used.insert(tensor->buffer());
  std::size_t sum = 0;
  for (const std::uint32_t buffer : used) sum += buffer_bytes(model, buffer).size();
  return sum;
}

std::uint64_t little_endian(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < count && at + i < bytes.size(); ++i)
    out |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return out;
}

// The names in the directory of the ZIP that ends the file, if one does.
std::vector<std::string> zip_names(std::string_view bytes) {
  constexpr std::size_t tail = 22, entry = 46;
  std::vector<std::string> out;
  const std::size_t end = bytes.rfind(std::string_view("PK\5\6", 4));
  if (end == std::string_view::npos || end + tail > bytes.size()) return out;
  std::size_t at = little_endian(bytes, end + 16, 4);
  for (std::uint64_t left = little_endian(bytes, end + 10, 2); left > 0; --left) {
    if (at + entry > end || bytes.substr(at, 4) != std::string_view("PK\1\2", 4)) return out;
    const std::size_t name = little_endian(bytes, at + 28, 2), extra = little_endian(bytes, at + 30, 2),
                      comment = little_endian(bytes, at + 32, 2);
    if (at + entry + name > end) return out;
    out.emplace_back(bytes.substr(at + entry, name));
    at += entry + name + extra + comment;
  }
  return out;
}

// Bytes appended to a FlatBuffer. What lies in front may point to them: its offsets count forward.
class Appender {
 public:
  explicit Appender(std::string& bytes) : bytes_(bytes) {}
  std::size_t align() {
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
    return bytes_.size();
  }
  void add(std::uint32_t number) { bytes_.append(reinterpret_cast<const char*>(&number), sizeof number); }
  void add(const std::string& text) {
    add(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
    bytes_ += '\0';
    align();
  }
  void point(std::size_t field, std::size_t target) {
    flatbuffers::WriteScalar(bytes_.data() + field, static_cast<uoffset_t>(target - field));
  }

 private:
  std::string& bytes_;
};

std::size_t append_indices(Appender& out, const std::vector<Named>& ports) {
  const std::size_t start = out.align();
  out.add(static_cast<std::uint32_t>(ports.size()));
  for (const Named& port : ports) out.add(static_cast<std::uint32_t>(port.tensor));
  return start;
}

// A vector of TensorMap tables, all behind it, each with its name behind it.
std::size_t append_maps(Appender& out, const std::vector<Named>& ports) {
  const std::size_t start = out.align();
  out.add(static_cast<std::uint32_t>(ports.size()));
  for (std::size_t i = 0; i < ports.size(); ++i) out.add(0U);
  const std::size_t layout = out.align();
  out.add(8U | 12U << 16U);  // the layout's own size and the table's, then where its two fields are
  out.add(4U | 8U << 16U);
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::size_t table = out.align();
    out.point(start + 4 + 4 * i, table);
    out.add(static_cast<std::uint32_t>(table - layout));
    out.add(8U);  // the name begins eight bytes from here
    out.add(static_cast<std::uint32_t>(ports[i].tensor));
    out.add(ports[i].name);
  }
  return start;
}

// The position in the file of a table's field that holds an offset, or 0 where the table lacks it.
template <class T>
std::size_t field_position(const std::string& bytes, const T* table, flatbuffers::voffset_t field) {
  const std::uint8_t* at = reinterpret_cast<const flatbuffers::Table*>(table)->GetAddressOf(field);
  return at ? static_cast<std::size_t>(at - reinterpret_cast<const std::uint8_t*>(bytes.data())) : 0;
}

std::set<std::int32_t> made_by_operators(const tflite::SubGraph& graph) {
  std::set<std::int32_t> out;
  if (graph.operators())
    for (const tflite::Operator* op : *graph.operators())
      if (op->outputs()) out.insert(op->outputs()->begin(), op->outputs()->end());
  return out;
}

std::string unused_name(const std::string& wanted, const std::vector<Named>& taken) {
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(taken.begin(), taken.end(), [&](const Named& n) { return n.name == name; });
  };
  std::string name = wanted;
  for (int i = 2; is_taken(name); ++i) name = fmt::format("{}#{}", wanted, i);
  return name;
}

// Gives the first signature and its graph these inputs or outputs; false where the file has no field for them.
bool set_ports(std::string& bytes, const std::vector<Named>& wanted, bool outputs) {
  Appender appender(bytes);
  const tflite::Model& model = tflite_model(std::as_bytes(std::span(bytes)));
  const std::size_t indices_field =
      field_position(bytes, &graph_of(model), outputs ? tflite::SubGraph::VT_OUTPUTS : tflite::SubGraph::VT_INPUTS);
  const auto* signatures = model.signature_defs();
  const bool has_signature = signatures && signatures->size() > 0;
  const auto maps = outputs ? tflite::SignatureDef::VT_OUTPUTS : tflite::SignatureDef::VT_INPUTS;
  const std::size_t maps_field = has_signature ? field_position(bytes, signatures->Get(0), maps) : 0;
  if (indices_field == 0 || (has_signature && maps_field == 0)) return false;
  appender.point(indices_field, append_indices(appender, wanted));
  if (has_signature) appender.point(maps_field, append_maps(appender, wanted));
  return true;
}

}  // namespace

TfliteSummary summarize_tflite(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  if (const std::string reason = why_not_tflite(mapped->bytes()); !reason.empty())
    fail({.code = "E107",
          .message = fmt::format("'{}' is no .tflite file: {}", file.string(), reason),
          .next = "check that the file is whole"});
  const tflite::Model& model = tflite_model(mapped->bytes());
  TfliteSummary out;
  out.bytes = mapped->bytes().size();
  out.description = text_of(model.description());
  out.weight_bytes = weight_bytes(model);
  count_operators(model, out);
  for (const bool outputs : {false, true})
    for (const Named& port : ports(model, outputs))
      (outputs ? out.outputs : out.inputs)
          .push_back({port.name, type_of(*graph_of(model).tensors()->Get(static_cast<uoffset_t>(port.tensor)))});
  if (model.metadata())
    for (const tflite::Metadata* entry : *model.metadata()) {
      std::string bytes(buffer_bytes(model, entry->buffer()));
      if (text_of(entry->name()) == tflite_min_runtime_version) bytes.resize(std::min(bytes.size(), std::strlen(bytes.c_str())));
      out.metadata[text_of(entry->name())] = std::move(bytes);
    }
  out.files = zip_names(mapped->text());
  return out;
}

TappedTflite with_outputs(std::span<const std::byte> file, const std::vector<Port>& taps) {
  if (const std::string reason = why_not_tflite(file); !reason.empty())
    fail({.code = "E702", .message = "not a .tflite file that can be run layer by layer: " + reason, .next = "convert the model again"});
  TappedTflite out{{reinterpret_cast<const char*>(file.data()), file.size()}, {}};
  const tflite::Model& model = tflite_model(file);
  const tflite::SubGraph& graph = graph_of(model);
  std::vector<Named> outputs = ports(model, true);
  const std::set<std::int32_t> made = made_by_operators(graph);
  for (const Port& tap : taps) {
    const auto known = std::find_if(outputs.begin(), outputs.end(), [&](const Named& port) { return port.tensor == tap.value; });
    out.output.push_back(made.contains(tap.value) ? static_cast<int>(known - outputs.begin()) : -1);
    if (made.contains(tap.value) && known == outputs.end()) outputs.push_back({unused_name(tap.name, outputs), tap.value});
  }

  if (!set_ports(out.bytes, outputs, true))
    fail({.code = "E702", .message = "a .tflite file without outputs cannot be run layer by layer"});
  return out;
}

std::vector<EmptyPort> empty_ports(std::span<const std::byte> file) {
  const tflite::Model& model = tflite_model(file);
  std::vector<EmptyPort> out;
  for (const bool outputs : {false, true}) {
    const std::vector<Named> all = ports(model, outputs);
    for (std::size_t i = 0; i < all.size(); ++i)
      if (Type type = type_of(*graph_of(model).tensors()->Get(static_cast<uoffset_t>(all[i].tensor)));
          is_static(type.shape) && is_empty(type.shape))
        out.push_back({outputs, i, {all[i].name, std::move(type)}});
  }
  return out;
}

std::string without_ports(std::span<const std::byte> file, const std::vector<EmptyPort>& empty) {
  std::string bytes(reinterpret_cast<const char*>(file.data()), file.size());
  for (const bool outputs : {false, true}) {
    std::vector<Named> kept = ports(tflite_model(file), outputs);
    for (auto port = empty.rbegin(); port != empty.rend(); ++port)
      if (port->is_output == outputs) kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(port->place));
    set_ports(bytes, kept, outputs);
  }
  return bytes;
}

}  // namespace wherry
