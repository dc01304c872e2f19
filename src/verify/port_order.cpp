#include "verify/port_order.h"

namespace wherry {

namespace {

using Order = std::vector<int>;

Order inverse(const Order& order) {
  Order result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) result[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return result;
}

Order channels_last(std::size_t rank) {
  Order order = source_order(rank);
  for (std::size_t i = 1; i < rank; ++i) order[i] = i == 1 ? static_cast<int>(rank) - 1 : static_cast<int>(i) - 1;
  return order;
}

Shape in_order(const Shape& shape, const Order& order) {
  Shape out(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) out[i] = shape[static_cast<std::size_t>(order[i])];
  return out;
}

// Whether a shape with open dimensions may be the other.
bool fits(const Shape& open, const Shape& other) {
  if (open.size() != other.size()) return false;
  for (std::size_t i = 0; i < open.size(); ++i)
    if (open[i].known() && open[i] != other[i]) return false;
  return true;
}

}  // namespace

Order source_order(std::size_t rank) {
  Order order(rank);
  for (std::size_t i = 0; i < rank; ++i) order[i] = static_cast<int>(i);
  return order;
}

Tensor in_file_order(const Tensor& tensor, const OrderedPort& port) { return tensor.permuted(inverse(port.order)).contiguous(); }

std::vector<OrderedPort> ordered_ports(const std::vector<NamedType>& file, const std::vector<NamedType>& like,
                                       const std::optional<Provenance>& provenance) {
  std::vector<OrderedPort> result;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const Shape& shape = file[i].type.shape;
    const Order last = channels_last(shape.size());
    const Shape* other = i < like.size() ? &like[i].type.shape : nullptr;
    Order order = source_order(shape.size());
    if (provenance && provenance->ports.contains(file[i].name))
      order = provenance->ports.at(file[i].name);
    else if (other && !fits(shape, *other) && shape.size() > 2 && fits(in_order(shape, last), *other))
      order = last;
    if (order.size() != shape.size()) order = source_order(shape.size());
    Shape source = in_order(shape, order);
    if (other && fits(source, *other)) source = *other;
    for (Dim& size : source)
      if (!size.known()) size = 1;
    result.push_back({file[i].name, file[i].type.dtype, std::move(source), std::move(order)});
  }
  return result;
}

std::vector<NamedType> source_types(const std::vector<OrderedPort>& ports) {
  std::vector<NamedType> list;
  for (const OrderedPort& port : ports) list.push_back({port.name, {port.dtype, port.source_shape}});
  return list;
}

std::vector<Tensor> in_file_order(const std::vector<Tensor>& tensors, const std::vector<OrderedPort>& ports) {
  std::vector<Tensor> turned;
  for (std::size_t i = 0; i < tensors.size(); ++i) turned.push_back(in_file_order(tensors[i], ports.at(i)));
  return turned;
}

std::vector<Tensor> in_source_order(const std::vector<Tensor>& tensors, const std::vector<OrderedPort>& ports) {
  std::vector<Tensor> turned;
  for (std::size_t i = 0; i < tensors.size(); ++i) turned.push_back(tensors[i].permuted(ports.at(i).order).contiguous());
  return turned;
}

}  // namespace wherry
