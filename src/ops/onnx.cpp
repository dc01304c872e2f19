#include "ops/onnx.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/bind.h"

#include <charconv>

namespace wherry {

OnnxLowering::OnnxLowering(const Graph& g, OnnxGraph& target)
    : graph(g), opset(target.opset), target_(target), tensors_(g.values.size(), -1) {
  for (std::size_t v = 0; v < g.values.size(); ++v)
    if (!g.values[v].constant && !g.values[v].name.empty()) names_.insert(g.values[v].name);
  for (std::size_t v = 0; v < g.values.size(); ++v) {
    const Value& value = g.values[v];
    if (!value.constant) continue;
    tensors_[v] = add_tensor(unique(value.name.empty() ? "constant" : value.name), value.constant);
  }
}

std::string OnnxLowering::unique(std::string wanted) {
  std::string name = wanted;
  for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

int OnnxLowering::add_tensor(std::string name, std::optional<Tensor> constant) {
  target_.tensors.push_back({std::move(name), std::move(constant)});
  return static_cast<int>(target_.tensors.size()) - 1;
}

int OnnxLowering::constant(Tensor tensor, std::string_view role) {
  return add_tensor(unique(fmt::format("{}:{}", node_ ? node_->path : target_.name, role)), std::move(tensor));
}

int OnnxLowering::ints(const Ints& values, std::string_view role) {
  return constant(Tensor::from(values, {static_cast<std::int64_t>(values.size())}), role);
}

std::vector<int> OnnxLowering::multi(std::string_view op, std::vector<int> inputs, std::size_t outputs, Attributes attributes) {
  while (!inputs.empty() && inputs.back() < 0) inputs.pop_back();
  std::erase_if(attributes, [](const auto& a) { return std::holds_alternative<None>(a.second); });
  std::sort(attributes.begin(), attributes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  OnnxNode node{.op = std::string(op), .name = {}, .inputs = std::move(inputs), .outputs = {}, .attributes = std::move(attributes)};
  const std::string path = node_ ? node_->path : target_.name;
  for (std::size_t i = 0; i < outputs; ++i) node.outputs.push_back(add_tensor("", {}));
  node.name = path;
  for (int i = 0; !node_names_.insert(node.name).second; ++i)
    node.name = i == 0 ? fmt::format("{}/{}", path, op) : fmt::format("{}/{}_{}", path, op, i);
  std::vector<int> made = node.outputs;
  target_.nodes.push_back(std::move(node));
  return made;
}

std::vector<int> OnnxLowering::same_type(const std::vector<ValueId>& values) {
  const auto computed = std::find_if(values.begin(), values.end(), [&](ValueId v) { return !graph.is_constant(v); });
  const DType type = graph.type(computed == values.end() ? values.front() : *computed).dtype;
  std::vector<int> out;
  for (const ValueId v : values) {
    const bool other = graph.type(v).dtype != type;
    out.push_back(!other                 ? (*this)[v]
                  : graph.is_constant(v) ? constant(graph[v].constant->cast(type))
                                         : add("Cast", {(*this)[v]}, {{"to", type}}));
  }
  return out;
}

void OnnxLowering::give(ValueId output, int tensor) {
  const auto t = static_cast<std::size_t>(tensor);
  const bool takes_name = target_.tensors[t].name.empty();
  if (takes_name) target_.tensors[t].name = graph[output].name;
  tensors_[static_cast<std::size_t>(output)] = tensor;
}

void OnnxLowering::refuse(const Node& node, const std::string& reason) const {
  fail({.code = "E202",
        .message = fmt::format("'{}' cannot be written as ONNX: {}", node.op->name, reason),
        .at = node.where(),
        .next = "write the layer with other operators, or add its ONNX form: docs/adding-an-operator.md"});
}

void OnnxLowering::input(const Port& port) {
  const int tensor = add_tensor(port.name, {});
  tensors_[static_cast<std::size_t>(port.value)] = tensor;
  names_.insert(port.name);
  target_.inputs.emplace_back(tensor, graph.type(port.value));
}

namespace {

// "axis=dim approximate=#none": attribute=ours, or =#literal.
OnnxLowering::Attributes pairs(const Node& node, std::string_view text) {
  OnnxLowering::Attributes out;
  for (const std::string& word : split(text, ' ')) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const std::string value = word.substr(equals + 1);
    if (!value.starts_with('#')) {
      out.emplace_back(word.substr(0, equals), node.attr(value));
      continue;
    }
    double number = 0;
    const auto [end, error] = std::from_chars(value.data() + 1, value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size())
      out.emplace_back(word.substr(0, equals), value.substr(1));
    else if (value.find('.') == std::string::npos)
      out.emplace_back(word.substr(0, equals), static_cast<std::int64_t>(number));
    else
      out.emplace_back(word.substr(0, equals), number);
  }
  return out;
}

}  // namespace

std::pair<std::string_view, int> onnx_since(const OnnxSlot& slot) {
  const std::size_t dash = slot.op.find('-');
  if (dash == std::string_view::npos) return {slot.op, 0};
  int since = 0;
  std::from_chars(slot.op.data() + dash + 1, slot.op.data() + slot.op.size(), since);
  return {slot.op.substr(0, dash), since};
}

void OnnxLowering::lower(const Node& node) {
  node_ = &node;
  const OnnxSlot& slot = node.op->onnx_out;
  const std::size_t before = target_.nodes.size();
  if (slot.lower) {
    slot.lower(*this, node);
  } else {
    std::vector<int> inputs;
    for (const ValueId v : node.inputs) inputs.push_back((*this)[v]);
    const std::vector<int> made = multi(onnx_since(slot).first, std::move(inputs), node.outputs.size(), pairs(node, slot.attributes));
    for (std::size_t i = 0; i < made.size(); ++i) give(node.outputs[i], made[i]);
  }
  for (std::size_t n = before; n < target_.nodes.size(); ++n)
    for (const int t : target_.nodes[n].outputs) {
      std::string& name = target_.tensors[static_cast<std::size_t>(t)].name;
      if (name.empty()) name = unique(target_.nodes[n].name + ":0");
    }
}

// An output that is an input, a weight or another output's tensor takes an operator that copies.
void OnnxLowering::output(const Port& port) {
  int tensor = (*this)[port.value];
  const auto made_by = [&](const OnnxNode& n) { return std::find(n.outputs.begin(), n.outputs.end(), tensor) != n.outputs.end(); };
  const bool made = std::any_of(target_.nodes.begin(), target_.nodes.end(), made_by);
  const bool given = std::any_of(target_.outputs.begin(), target_.outputs.end(), [&](const auto& o) { return o.first == tensor; });
  node_ = nullptr;
  if (!made || given) tensor = add("Identity", {tensor});
  OnnxTensor& t = target_.tensors[static_cast<std::size_t>(tensor)];
  if (t.name != port.name) t.name = names_.contains(port.name) ? unique(port.name) : port.name;
  names_.insert(t.name);
  target_.outputs.emplace_back(tensor, graph.type(port.value));
}

namespace ops::onnx {

namespace {

struct ElementType {
  std::string_view name;
  std::optional<DType> dtype;
};
// By ONNX's number.
constexpr ElementType element_types[] = {{"undefined", {}},
                                         {"float", DType::float32},
                                         {"uint8", DType::uint8},
                                         {"int8", DType::int8},
                                         {"uint16", DType::uint16},
                                         {"int16", DType::int16},
                                         {"int32", DType::int32},
                                         {"int64", DType::int64},
                                         {"string", {}},
                                         {"bool", DType::boolean},
                                         {"float16", DType::float16},
                                         {"double", DType::float64},
                                         {"uint32", DType::uint32},
                                         {"uint64", DType::uint64},
                                         {"complex64", {}},
                                         {"complex128", {}},
                                         {"bfloat16", DType::bfloat16},
                                         {"float8e4m3fn", DType::float8_e4m3fn},
                                         {"float8e4m3fnuz", DType::float8_e4m3fnuz},
                                         {"float8e5m2", DType::float8_e5m2},
                                         {"float8e5m2fnuz", DType::float8_e5m2fnuz},
                                         {"uint4", DType::uint4},
                                         {"int4", DType::int4},
                                         {"float4e2m1", DType::float4_e2m1fn},
                                         {"float8e8m0", DType::float8_e8m0fnu},
                                         {"uint2", DType::uint2},
                                         {"int2", DType::int2}};

const ElementType* element_type(std::int64_t number) {
  const bool known = number >= 0 && number < static_cast<std::int64_t>(std::size(element_types));
  return known ? &element_types[number] : nullptr;
}

}  // namespace

std::optional<DType> dtype_of(std::int64_t number) {
  const ElementType* type = element_type(number);
  return type ? type->dtype : std::nullopt;
}

std::string element_name(std::int64_t number) {
  const ElementType* type = element_type(number);
  return type ? std::string(type->name) : fmt::format("type {}", number);
}

std::int64_t number_of(DType dtype) {
  for (const ElementType& type : element_types)
    if (type.dtype == dtype) return &type - element_types;
  return 0;
}

DType dtype(const ForeignNode& node, std::string_view attribute) {
  const std::int64_t number = integer(node, attribute);
  const std::optional<DType> type = dtype_of(number);
  if (!type) refuse(node, fmt::format("'{}' asks for numbers of {}, which Wherry does not have", node.target, element_name(number)));
  return *type;
}

ValueId required(const ForeignNode& node, int index) {
  const ValueId value = in(node, index);
  if (value == absent) refuse(node, fmt::format("'{}' lacks its input {}", node.target, index));
  return value;
}

std::vector<ValueId> inputs(const ForeignNode& node) {
  std::vector<ValueId> out;
  for (const ForeignArg& arg : node.args)
    if (const auto* value = std::get_if<ValueId>(&arg.value); value && std::isdigit(static_cast<unsigned char>(arg.name[0])))
      out.push_back(*value);
  return out;
}

const Tensor* fixed(Builder& b, const ForeignNode& node, int index, std::string_view name) {
  const ValueId value = in(node, index);
  if (value == absent) return nullptr;
  if (!b.graph().is_constant(value))
    refuse(node,
           fmt::format("'{}' takes its {} (input {}) from what the model computes; a fixed value is needed", node.target, name, index));
  return &*b.graph()[value].constant;
}

std::optional<Ints> fixed_ints(Builder& b, const ForeignNode& node, int index, std::string_view name) {
  if (given(node, name)) return ints(node, name);
  const Tensor* tensor = fixed(b, node, index, name);
  if (!tensor) return std::nullopt;
  if (is_float(tensor->dtype()))
    refuse(node, fmt::format("the {} of '{}' are {}, not integers", name, node.target, wherry::name(tensor->dtype())));
  return tensor->contiguous().to_ints();
}

std::optional<Floats> fixed_numbers(Builder& b, const ForeignNode& node, int index, std::string_view name) {
  if (const Attr* attr = node.attr(name)) {
    const std::optional<Attr> list = coerce(*attr, AttrKind::numbers);
    if (!list) refuse(node, fmt::format("the {} of '{}' is {}, expected numbers", name, node.target, text(*attr)));
    return std::get<Floats>(*list);
  }
  const Tensor* tensor = fixed(b, node, index, name);
  if (!tensor) return std::nullopt;
  Floats out;
  for (std::int64_t i = 0; i < tensor->count(); ++i) out.push_back(tensor->item(i));
  return out;
}

std::optional<double> fixed_number(Builder& b, const ForeignNode& node, int index, std::string_view name) {
  const std::optional<Floats> list = fixed_numbers(b, node, index, name);
  if (!list) return std::nullopt;
  if (list->size() != 1) refuse(node, fmt::format("the {} of '{}' has {} elements, expected one", name, node.target, list->size()));
  return list->front();
}

Sizes static_shape(Builder& b, const ForeignNode& node, ValueId value) {
  const Shape& shape = b.type(value).shape;
  if (is_static(shape)) return sizes(shape);
  std::vector<std::string> choices;
  for (const std::string& name : open_dims(b.graph())) choices.push_back(fmt::format("--dim {}=1", name));
  fail({.code = "E504",
        .message = fmt::format("'{}' computes with the shape {}, which is open", node.target, text(shape)),
        .at = node.path,
        .next = fmt::format("give each dimension a size: {}", join(choices, " "))});
}

std::int64_t rank(Builder& b, ValueId value) { return static_cast<std::int64_t>(b.type(value).shape.size()); }

std::vector<std::pair<std::int64_t, std::int64_t>> padding(Builder& b, const ForeignNode& node, const Ints& kernel, const Ints& stride,
                                                           const Ints& dilation) {
  const std::string mode = word(node, "auto_pad", "NOTSET");
  std::vector<std::pair<std::int64_t, std::int64_t>> out(kernel.size());
  if (mode == "NOTSET") {
    const Ints pads = ints(node, "pads", Ints(2 * kernel.size(), 0));
    if (pads.size() != 2 * kernel.size())
      refuse(node, fmt::format("'{}' has {} pads for {} axes", node.target, pads.size(), kernel.size()));
    for (std::size_t i = 0; i < kernel.size(); ++i) out[i] = {pads[i], pads[i + kernel.size()]};
    return out;
  }
  if (mode == "VALID") return out;
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") refuse(node, fmt::format("auto_pad '{}' of '{}' is not known", mode, node.target));
  const Shape shape = b.type(required(node, 0)).shape;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    std::int64_t total = dilation[i] * (kernel[i] - 1) + 1 - stride[i];
    if (stride[i] != 1) {
      const std::int64_t size = static_shape(b, node, required(node, 0)).at(i + 2);
      total = ((size + stride[i] - 1) / stride[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size;
    }
    total = std::max<std::int64_t>(total, 0);
    const std::int64_t small = total / 2, large = total - small;
    out[i] = mode == "SAME_UPPER" ? std::pair(small, large) : std::pair(large, small);
  }
  return out;
}

}  // namespace ops::onnx
}  // namespace wherry
