// What an .onnx file says: its messages as plain structures, by the field numbers of the format (onnx.ai/onnx/api/classes.html).
// Text and weights are views into the mapped file.
#pragma once

#include "base/wire.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::onnx {

struct TensorDef {
  std::string_view name;
  std::vector<std::int64_t> dims;
  std::int64_t data_type = 0;
  std::string_view raw;                                              // little-endian elements
  std::vector<wire::Field> floats, ints, longs, doubles, unsigneds;  // or elements by kind, packed or one by one
  bool has_strings = false, in_segments = false;
  bool external = false;
  std::string_view location;  // external: the file, and where in it
  std::int64_t offset = 0, length = -1;
};

struct GraphDef;

struct AttributeDef {
  std::string_view name, ref;  // ref: the enclosing function's attribute that gives the value
  std::int64_t type = 0;
  float number = 0;
  std::int64_t integer = 0;
  std::string_view text;
  std::vector<float> numbers;
  std::vector<std::int64_t> integers;
  std::vector<std::string_view> texts;
  std::shared_ptr<TensorDef> tensor;
  std::shared_ptr<GraphDef> graph;
};

using Properties = std::map<std::string_view, std::string_view>;

struct NodeDef {
  std::string_view name, op, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeDef> attributes;
  Properties metadata;
  const AttributeDef* find(std::string_view attribute) const;
};

struct DimDef {
  std::int64_t size = -1;  // -1: not given
  std::string_view name;
};

struct ValueDef {
  std::string_view name, kind = "tensor";  // kind: tensor, sequence, map, optional, sparse tensor
  std::int64_t data_type = 0;
  bool ranked = false;
  std::vector<DimDef> dims;
};

struct GraphDef {
  std::string_view name;
  std::vector<NodeDef> nodes;
  std::vector<TensorDef> initializers;
  std::vector<ValueDef> inputs, outputs;
  bool has_sparse = false;
};

struct FunctionDef {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeDef> defaults;
  std::vector<NodeDef> nodes;
  std::map<std::string_view, std::int64_t> opsets;
};

struct ModelDef {
  std::int64_t ir_version = 0;
  std::string_view producer;
  std::map<std::string_view, std::int64_t> opsets;  // by domain; "" is ONNX's own
  std::vector<FunctionDef> functions;
  Properties metadata;
  GraphDef graph;
  bool has_graph = false;
};

// Throws wire::Fault where the bytes are no such message.
ModelDef read_model(std::string_view bytes);

}  // namespace wherry::onnx
