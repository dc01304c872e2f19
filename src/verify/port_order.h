// How a file's inputs and outputs lie against the source's, and the tensors turned from one to the other.
#pragma once

#include "verify/provenance.h"
#include "verify/side.h"

namespace wherry {

struct OrderedPort {
  std::string name;
  DType dtype;
  Shape source_shape;
  std::vector<int> order;  // axis i of the source's value is axis order[i] of the file's tensor
};

// The file's own record of the order; without it, the order in which the shape fits the other side's, channels last first. A
// dimension that the file leaves open takes the other side's size, or 1.
std::vector<OrderedPort> ordered_ports(const std::vector<NamedType>& file, const std::vector<NamedType>& like,
                                       const std::optional<Provenance>& provenance);
Tensor in_file_order(const Tensor& tensor, const OrderedPort& port);
std::vector<int> source_order(std::size_t rank);  // 0, 1, 2, …

std::vector<NamedType> source_types(const std::vector<OrderedPort>& ports);
std::vector<Tensor> in_file_order(const std::vector<Tensor>& tensors, const std::vector<OrderedPort>& ports);
std::vector<Tensor> in_source_order(const std::vector<Tensor>& tensors, const std::vector<OrderedPort>& ports);

}  // namespace wherry
