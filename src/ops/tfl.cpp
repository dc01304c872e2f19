#include "ops/tfl.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/narrow_float.h"

#include <numeric>
#include <utility>

namespace wherry {

namespace {

std::string type_text(const TflTensor& tensor) { return text(Type{tensor.dtype, to_shape(tensor.sizes)}); }

// A constant that is short enough to be read in place: a permutation, a paddings table, a scalar.
std::string short_constant(const TflTensor& tensor) {
  const Tensor& values = *tensor.constant;
  if (is_float(values.dtype()) ? values.count() != 1 : values.count() > 8) return {};
  if (is_float(values.dtype())) return text(Attr(values.item()));
  const std::vector<std::int64_t> ints = values.to_ints();
  return tensor.sizes.empty() ? std::to_string(ints[0]) : text(Attr(ints));
}

std::string operand(const TflGraph& graph, int id) {
  if (id < 0) return "-";
  const TflTensor& tensor = graph.tensors[static_cast<std::size_t>(id)];
  if (!tensor.constant) return tensor.name;
  const std::string values = short_constant(tensor);
  return values.empty() ? fmt::format("{}: {}", tensor.name, type_text(tensor)) : values;
}

template <class Each>
std::string listed(const std::vector<int>& ids, Each each) {
  std::vector<std::string> parts;
  for (const int id : ids) parts.push_back(each(id));
  return join(parts, ", ");
}

}  // namespace

DType tfl_type(DType dtype) { return is_narrow_float(dtype) || dtype == DType::uint2 ? carrier(dtype) : dtype; }

const TflOption* TflNode::find(std::string_view option) const {
  for (const TflOption& o : options)
    if (o.name == option) return &o;
  return nullptr;
}

TflOption* TflNode::find(std::string_view option) { return const_cast<TflOption*>(std::as_const(*this).find(option)); }

std::string text(const TflGraph& graph) {
  const auto tensor = [&](int id) -> const TflTensor& { return graph.tensors[static_cast<std::size_t>(id)]; };
  std::vector<std::string> ports;
  for (const Port& port : graph.inputs) ports.push_back(fmt::format("{}: {}", port.name, type_text(tensor(port.value))));
  std::string out = fmt::format("{}({})\n", graph.name, join(ports, ", "));
  for (const TflNode& node : graph.nodes) {
    out += fmt::format("{} = {}({})", listed(node.outputs, [&](int id) { return tensor(id).name; }), node.builtin,
                       listed(node.inputs, [&](int id) { return operand(graph, id); }));
    for (const TflOption& option : node.options) out += fmt::format(" {}={}", option.name, text(option.value));
    out += fmt::format(" -> {}\n", listed(node.outputs, [&](int id) { return type_text(tensor(id)); }));
  }
  ports.clear();
  for (const Port& port : graph.outputs) ports.push_back(fmt::format("{}: {}", port.name, tensor(port.value).name));
  return out + fmt::format("return {}\n", join(ports, ", "));
}

std::map<std::string, int> count_builtins(const TflGraph& graph) {
  std::map<std::string, int> counts;
  for (const TflNode& node : graph.nodes) ++counts[node.builtin];
  return counts;
}

std::vector<int> LayoutLowering::channels_last_order(int rank) {
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  if (rank < 3) return order;
  order[1] = rank - 1;
  for (int i = 2; i < rank; ++i) order[static_cast<std::size_t>(i)] = i - 1;
  return order;
}

}  // namespace wherry
