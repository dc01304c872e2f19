#include "export/onnx/write_onnx.h"

#include "base/wire.h"
#include "ir/packed.h"

namespace wherry {

namespace {

using wire::Writer;

constexpr std::size_t always_inside = 1024;  // bytes of a weight that stays in the model whatever happens
constexpr std::size_t alignment = 64;        // of weights in a file of their own

// The version of the file format that came with the opset (onnx/onnx, docs/Versioning.md); later ones add nothing that is used here.
int ir_version_of(int opset) {
  if (opset <= 14) return 7;
  if (opset <= 18) return 8;
  return opset <= 20 ? 9 : 10;
}

std::string entry(std::string_view key, std::string_view value) {
  Writer w;
  w.bytes(1, key);
  w.bytes(2, value);
  return w.text();
}

std::string attribute(const std::string& name, const Attr& attr) {
  enum { is_float = 1, is_int = 2, is_string = 3, is_floats = 6, is_ints = 7, is_strings = 8 };
  Writer w;
  w.bytes(1, name);
  const auto put_int = [&](std::int64_t value) { w.varint(3, value), w.varint(20, is_int); };
  if (const auto* b = std::get_if<bool>(&attr)) put_int(*b);
  if (const auto* i = std::get_if<std::int64_t>(&attr)) put_int(*i);
  if (const auto* t = std::get_if<DType>(&attr)) put_int(ops::onnx::number_of(*t));
  if (const auto* d = std::get_if<double>(&attr)) w.float32(2, static_cast<float>(*d)), w.varint(20, is_float);
  if (const auto* s = std::get_if<std::string>(&attr)) w.bytes(4, *s), w.varint(20, is_string);
  if (const auto* list = std::get_if<Floats>(&attr)) {
    for (const double d : *list) w.float32(7, static_cast<float>(d));
    w.varint(20, is_floats);
  }
  if (const auto* list = std::get_if<Ints>(&attr)) {
    for (const std::int64_t i : *list) w.varint(8, i);
    w.varint(20, is_ints);
  }
  if (const auto* list = std::get_if<Strings>(&attr)) {
    for (const std::string& s : *list) w.bytes(9, s);
    w.varint(20, is_strings);
  }
  return w.text();
}

std::string node_message(const OnnxGraph& graph, const OnnxNode& node) {
  Writer w;
  const auto name = [&](int tensor) {
    return tensor < 0 ? std::string_view() : std::string_view(graph.tensors[static_cast<std::size_t>(tensor)].name);
  };
  for (const int input : node.inputs) w.bytes(1, name(input));
  for (const int output : node.outputs) w.bytes(2, name(output));
  w.bytes(3, node.name);
  w.bytes(4, node.op);
  for (const auto& [key, value] : node.attributes) w.bytes(5, attribute(key, value));
  return w.text();
}

std::string value_message(const OnnxGraph& graph, int tensor, const Type& type) {
  Writer shape, tensor_type, kind, value;
  for (const Dim& dim : type.shape) {
    Writer d;
    if (dim.known())
      d.varint(1, dim.size());
    else
      d.bytes(2, dim.expression());
    shape.bytes(1, d.text());
  }
  tensor_type.varint(1, ops::onnx::number_of(type.dtype));
  tensor_type.bytes(2, shape.text());
  kind.bytes(1, tensor_type.text());
  value.bytes(1, graph.tensors[static_cast<std::size_t>(tensor)].name);
  value.bytes(2, kind.text());
  return value.text();
}

// A weight's message but for its elements; they are the last field where they stand inside.
struct Weight {
  const Tensor* tensor;
  std::string head;
  bool inside;
  std::uint64_t size() const { return head.size() + (inside ? stored_size(tensor->dtype(), tensor->count()) : 0); }
};

Weight weight_of(const OnnxTensor& tensor, bool outside, std::uint64_t& offset, const std::string& file) {
  Writer w;
  const Tensor& t = *tensor.constant;
  for (const std::int64_t size : t.sizes()) w.varint(1, size);
  w.varint(2, ops::onnx::number_of(t.dtype()));
  w.bytes(8, tensor.name);
  const std::size_t bytes = stored_size(t.dtype(), t.count());
  if (outside && bytes >= always_inside) {
    offset = (offset + alignment - 1) / alignment * alignment;
    w.bytes(13, entry("location", file));
    w.bytes(13, entry("offset", std::to_string(offset)));
    w.bytes(13, entry("length", std::to_string(bytes)));
    w.varint(14, 1);
    offset += bytes;
    return {&t, w.text(), false};
  }
  w.begin_bytes(9, bytes);
  return {&t, w.text(), true};
}

void write_elements(const Tensor& tensor, AtomicFile& file) {
  if (tensor.bytes() == 0) return;
  if (is_packed(tensor.dtype())) return file.write(packed(tensor));
  const Tensor dense = tensor.contiguous();
  file.write(std::span(dense.data(), dense.bytes()));
}

void write_head(AtomicFile& file, int id, std::uint64_t size) {
  Writer w;
  w.begin_bytes(id, size);
  file.write(w.text());
}

std::uint64_t head_size(int id, std::uint64_t size) {
  Writer w;
  w.begin_bytes(id, size);
  return w.text().size();
}

std::string model_head(const OnnxGraph& graph, const OnnxMetadata& metadata) {
  Writer w, opset;
  w.varint(1, ir_version_of(graph.opset));
  w.bytes(2, "wherry");
  w.bytes(3, metadata.producer_version);
  opset.bytes(1, "");
  opset.varint(2, graph.opset);
  w.bytes(8, opset.text());
  for (const auto& [key, value] : metadata.properties) w.bytes(14, entry(key, value));
  return w.text();
}

}  // namespace

bool needs_external_data(const OnnxGraph& graph, std::uint64_t limit) {
  std::uint64_t total = 0;
  for (const OnnxTensor& tensor : graph.tensors) total += tensor.constant ? tensor.constant->bytes() : 0;
  return total > limit;
}

void write_onnx(const OnnxGraph& graph, const OnnxMetadata& metadata, AtomicFile& file, AtomicFile* weights_file,
                const std::string& weights_name) {
  std::set<int> used;
  for (const OnnxNode& node : graph.nodes) used.insert(node.inputs.begin(), node.inputs.end());
  std::vector<Weight> weights;
  std::uint64_t offset = 0, size = 0;
  for (const int t : used) {
    if (t < 0 || !graph.tensors[static_cast<std::size_t>(t)].constant) continue;
    weights.push_back(weight_of(graph.tensors[static_cast<std::size_t>(t)], weights_file != nullptr, offset, weights_name));
    size += head_size(5, weights.back().size()) + weights.back().size();
  }
  Writer nodes, ports;
  for (const OnnxNode& node : graph.nodes) nodes.bytes(1, node_message(graph, node));
  nodes.bytes(2, graph.name.empty() ? "graph" : graph.name);
  for (const auto& [tensor, type] : graph.inputs) ports.bytes(11, value_message(graph, tensor, type));
  for (const auto& [tensor, type] : graph.outputs) ports.bytes(12, value_message(graph, tensor, type));
  size += nodes.text().size() + ports.text().size();

  file.write(model_head(graph, metadata));
  write_head(file, 7, size);
  file.write(nodes.text());
  for (const Weight& weight : weights) {
    write_head(file, 5, weight.size());
    file.write(weight.head);
    if (weight.inside) {
      write_elements(*weight.tensor, file);
    } else {
      weights_file->pad_to(alignment);
      write_elements(*weight.tensor, *weights_file);
    }
  }
  file.write(ports.text());
}

}  // namespace wherry
