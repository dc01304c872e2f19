#include "ops/infer.h"

#include "base/check.h"

namespace wherry::infer {

void fault(std::string message, std::string code) { throw TypeFault{std::move(code), std::move(message)}; }

std::vector<Type> same_as_first(const OpTypes& t) { return {*t.inputs[0]}; }

std::vector<Type> float_same_as_first(const OpTypes& t) {
  if (!is_float(t.inputs[0]->dtype))
    fault(fmt::format("{} takes float numbers, not {}", t.node.op->name, name(t.inputs[0]->dtype)), "E502");
  return {*t.inputs[0]};
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape out(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const Dim one(1);
    const Dim& x = i < rank - a.size() ? one : a[i - (rank - a.size())];
    const Dim& y = i < rank - b.size() ? one : b[i - (rank - b.size())];
    if (x == y || y == one)
      out[i] = x;
    else if (x == one)
      out[i] = y;
    else
      fault(fmt::format("shapes {} and {} do not broadcast: axis {} is {} and {}", text(a), text(b), i, x.text(), y.text()));
  }
  return out;
}

std::vector<Type> broadcast(const OpTypes& t) {
  Type out = *t.inputs[0];
  bool scalar_constant = t.constants[0] && t.inputs[0]->shape.empty();
  for (std::size_t i = 1; i < t.inputs.size(); ++i) {
    if (!t.inputs[i]) continue;
    const Type& type = *t.inputs[i];
    out.shape = broadcast_shapes(out.shape, type.shape);
    const bool scalar = t.constants[i] && type.shape.empty();
    if (scalar_constant && !scalar)
      out.dtype = type.dtype, scalar_constant = false;
    else if (!scalar && type.dtype != out.dtype)
      fault(fmt::format("{} takes tensors of one data type, not {} and {}", t.node.op->name, name(out.dtype), name(type.dtype)), "E502");
  }
  return {out};
}

int axis(std::int64_t dim, int rank) {
  if (dim < -rank || dim >= rank) fault(fmt::format("dim {} is out of range for a tensor of rank {}", dim, rank));
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

Dim window(const Dim& size, std::int64_t kernel, std::int64_t stride, std::int64_t before, std::int64_t after, std::int64_t dilation) {
  if (stride <= 0) fault(fmt::format("stride {} is not positive", stride));
  if (dilation <= 0) fault(fmt::format("dilation {} is not positive", dilation));
  if (kernel <= 0) fault(fmt::format("kernel size {} is not positive", kernel));
  const std::int64_t extent = dilation * (kernel - 1) + 1;
  if (size.known() && size.size() + before + after < extent)
    fault(fmt::format("a window of {} does not fit an axis of {} with padding {} and {}", extent, size.text(), before, after));
  return floor_div(size + Dim(before + after - extent + stride), Dim(stride));
}

std::vector<std::pair<std::int64_t, std::int64_t>> padding(const Attr& attr, int spatial, const Ints& kernel, const Ints& stride,
                                                           const Ints& dilation) {
  const auto n = static_cast<std::size_t>(spatial);
  std::vector<std::pair<std::int64_t, std::int64_t>> out(n);
  if (const auto* word = std::get_if<std::string>(&attr)) {
    for (std::size_t i = 0; i < n && *word == "same"; ++i) {
      if (stride[i] != 1) fault("padding 'same' needs stride 1, as in PyTorch");
      const std::int64_t total = dilation[i] * (kernel[i] - 1);
      out[i] = {total / 2, total - total / 2};
    }
    return out;
  }
  const Ints& list = std::get<Ints>(attr);
  if (list.size() == n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = {list[i], list[i]};
  } else if (list.size() == 1) {
    for (auto& p : out) p = {list[0], list[0]};
  } else if (list.size() == 2 * n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = {list[2 * i], list[2 * i + 1]};
  } else {
    fault(fmt::format("padding {} has {} numbers; {} axes take {} or {}", text(attr), list.size(), spatial, n, 2 * n));
  }
  for (const auto& [before, after] : out)
    if (before < 0 || after < 0) fault(fmt::format("padding {} is negative", text(attr)));
  return out;
}

void needs_rank(const OpTypes& t, std::string_view input, int rank) {
  const Type& type = t[input];
  if (static_cast<int>(type.shape.size()) != rank)
    fault(fmt::format("{} takes {} of rank {}, not {}", t.node.op->name, input, rank, text(type)));
}

void needs_float(const OpTypes& t, std::string_view input) {
  const Type& type = t[input];
  if (!is_float(type.dtype)) fault(fmt::format("{} takes {} of a float type, not {}", t.node.op->name, input, name(type.dtype)), "E502");
}

std::vector<Type> over_last_axes(const OpTypes& t) {
  needs_float(t, "x");
  const Type& x = t["x"];
  const Shape tail = to_shape(t.node.ints("normalized_shape"));
  const std::size_t n = tail.size();
  if (n == 0 || n > x.shape.size() || !std::equal(tail.begin(), tail.end(), x.shape.end() - static_cast<std::ptrdiff_t>(n)))
    fault(fmt::format("normalized_shape {} is not how the shape of x ends, {}", text(tail), text(x.shape)));
  for (std::size_t i = 1; i < t.inputs.size(); ++i)
    if (const Type* type = t.inputs[i]; type && type->shape != tail)
      fault(fmt::format("{} is {}; it needs the shape {}", t.node.op->inputs[i].name, text(*type), text(tail)));
  return {x};
}

}  // namespace wherry::infer
