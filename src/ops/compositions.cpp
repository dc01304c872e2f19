#include "ops/compositions.h"

#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/recurrent.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wherry::ops {

namespace {

const Shape& shape(const Builder& b, ValueId x) { return b.type(x).shape; }
std::int64_t rank(const Builder& b, ValueId x) { return static_cast<std::int64_t>(shape(b, x).size()); }
std::int64_t axis(const Builder& b, const ForeignNode& node, const char* name, ValueId x, std::optional<std::int64_t> fallback = {}) {
  return infer::axis(integer(node, name, fallback), static_cast<int>(rank(b, x)));
}
std::int64_t size(const Builder& b, const ForeignNode& node, ValueId x, std::int64_t axis) {
  const Dim& dim = shape(b, x)[static_cast<std::size_t>(axis)];
  if (!dim.known()) refuse(node, fmt::format("'{}' needs a fixed size of axis {}", node.target, axis));
  return dim.size();
}
ValueId unsqueeze(Builder& b, ValueId x, std::int64_t dim) { return b("unsqueeze", {x}, {{"dim", dim}}); }
ValueId permute(Builder& b, ValueId x, const Ints& dims) { return b("permute", {x}, {{"dims", dims}}); }
ValueId select(Builder& b, ValueId x, std::int64_t dim, std::int64_t index) { return b("select", {x}, {{"dim", dim}, {"index", index}}); }
ValueId index_select(Builder& b, ValueId x, std::int64_t dim, const std::vector<std::int64_t>& positions) {
  return b("index_select", {x, b.ints(positions)}, {{"dim", dim}});
}
ValueId flat(Builder& b, ValueId x) { return b("reshape", {x}, {{"shape", Ints{-1}}}); }

// All axes but those given, then these.
Ints moved_behind(std::int64_t rank, const Ints& last) {
  Ints order;
  for (std::int64_t i = 0; i < rank; ++i)
    if (std::find(last.begin(), last.end(), i) == last.end()) order.push_back(i);
  order.insert(order.end(), last.begin(), last.end());
  return order;
}

// At least so many axes, as NumPy adds them.
template <int least>
std::vector<ValueId> convert_atleast(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> out;
  for (ValueId x : node.find("tensors") ? node.values("tensors") : std::vector{node.value("self")}) {
    if (least == 3 && rank(b, x) == 2) x = unsqueeze(b, x, 2);
    while (rank(b, x) < std::min(least, 2)) x = unsqueeze(b, x, 0);
    if (rank(b, x) < least) x = unsqueeze(b, x, 2);
    out.push_back(x);
  }
  return out;
}

// ---- matrices ----

// PyTorch's x.T: all axes the other way round.
std::vector<ValueId> convert_T(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  Ints order(static_cast<std::size_t>(rank(b, x)));
  std::iota(order.rbegin(), order.rend(), 0);
  return {order.size() < 2 ? x : permute(b, x, order)};
}

// The elements `offset` to the right of a diagonal become the last axis.
ValueId diagonal(Builder& b, const ForeignNode& node, ValueId x, std::int64_t offset, std::int64_t dim1, std::int64_t dim2) {
  const std::int64_t rows = size(b, node, x, dim1), columns = size(b, node, x, dim2), dims = rank(b, x);
  if (dim1 == dim2) refuse(node, fmt::format("'{}' of axis {} with itself", node.target, dim1));
  const std::int64_t row = std::max<std::int64_t>(-offset, 0), column = std::max<std::int64_t>(offset, 0);
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; row + i < rows && column + i < columns; ++i) positions.push_back((row + i) * columns + column + i);
  const ValueId matrices = permute(b, x, moved_behind(dims, {dim1, dim2}));
  return index_select(b, b("flatten", {matrices}, {{"start_dim", dims - 2}, {"end_dim", dims - 1}}), dims - 2, positions);
}

// The inverse: the last axis becomes a diagonal, with zeros beside it.
ValueId diagonal_matrix(Builder& b, const ForeignNode& node, ValueId x, std::int64_t offset, std::int64_t dim1, std::int64_t dim2) {
  const std::int64_t dims = rank(b, x), length = size(b, node, x, dims - 1), edge = length + std::abs(offset);
  const std::int64_t row = std::max<std::int64_t>(-offset, 0), column = std::max<std::int64_t>(offset, 0);
  std::vector<std::int64_t> positions(static_cast<std::size_t>(edge * edge), length);  // behind the end: a zero
  for (std::int64_t i = 0; i < length; ++i) positions[static_cast<std::size_t>((row + i) * edge + column + i)] = i;
  const ValueId padded = b("pad", {x}, {{"pad", Ints{0, 1}}});
  const ValueId y = b("unflatten", {index_select(b, padded, dims - 1, positions)}, {{"dim", dims - 1}, {"sizes", Ints{edge, edge}}});
  Ints order;
  for (std::int64_t i = 0, next = 0; i <= dims; ++i) order.push_back(i == dim1 ? dims - 1 : i == dim2 ? dims : next++);
  return permute(b, y, order);
}

std::vector<ValueId> convert_diagonal(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  return {diagonal(b, node, x, integer(node, "offset", 0), axis(b, node, "dim1", x, 0), axis(b, node, "dim2", x, 1))};
}

std::vector<ValueId> convert_diag_embed(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const auto after = static_cast<int>(rank(b, x)) + 1;
  const std::int64_t dim1 = infer::axis(integer(node, "dim1", -2), after), dim2 = infer::axis(integer(node, "dim2", -1), after);
  if (dim1 == dim2) refuse(node, fmt::format("'{}' of axis {} with itself", node.target, dim1));
  return {diagonal_matrix(b, node, x, integer(node, "offset", 0), dim1, dim2)};
}

std::vector<ValueId> convert_diag(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t offset = integer(node, "diagonal", 0);
  return {rank(b, x) == 1 ? diagonal_matrix(b, node, x, offset, 0, 1) : diagonal(b, node, x, offset, 0, 1)};
}

std::vector<ValueId> convert_trace(Builder& b, const ForeignNode& node) {
  ValueId x = diagonal(b, node, node.value("self"), 0, 0, 1);
  if (!is_float(b.type(x).dtype)) x = cast(b, x, DType::int64);
  return {b("sum", {x})};
}

std::vector<ValueId> convert_kron(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self"), y = node.value("other");
  while (rank(b, x) < rank(b, y)) x = unsqueeze(b, x, 0);
  while (rank(b, y) < rank(b, x)) y = unsqueeze(b, y, 0);
  const std::int64_t dims = rank(b, x);
  for (std::int64_t i = 0; i < dims; ++i) x = unsqueeze(b, x, 2 * i + 1), y = unsqueeze(b, y, 2 * i);
  ValueId z = b("mul", promoted(b, node, std::vector<ForeignArg>{{"self", x}, {"other", y}}));
  for (std::int64_t i = 0; i < dims; ++i) z = b("flatten", {z}, {{"start_dim", i}, {"end_dim", i + 1}});
  return {z};
}

// Sums of products over axes that both have: a product of two matrices.
std::vector<ValueId> convert_tensordot(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self"), y = node.value("other");
  const auto named = [&](const char* name, ValueId of) {
    Ints dims = ints(node, name);
    for (std::int64_t& d : dims) d = infer::axis(d, static_cast<int>(rank(b, of)));
    return dims;
  };
  const Ints left = named("dims_self", x), right = named("dims_other", y);
  Ints sizes;
  const auto rest_of = [&](ValueId of, const Ints& dims) {
    std::int64_t count = 1;
    for (std::int64_t i = 0; i < rank(b, of); ++i) {
      if (std::find(dims.begin(), dims.end(), i) != dims.end()) continue;
      sizes.push_back(size(b, node, of, i));
      count *= sizes.back();
    }
    return count;
  };
  const std::int64_t rows = rest_of(x, left), columns = rest_of(y, right);
  std::int64_t summed = 1;
  for (const std::int64_t d : left) summed *= size(b, node, x, d);
  const Ints last = moved_behind(rank(b, y), right);
  Ints first(right);  // the summed axes, then the others
  first.insert(first.end(), last.begin(), last.end() - static_cast<std::ptrdiff_t>(right.size()));
  const ValueId p = b("reshape", {permute(b, x, moved_behind(rank(b, x), left))}, {{"shape", Ints{rows, summed}}});
  const ValueId q = b("reshape", {permute(b, y, first)}, {{"shape", Ints{summed, columns}}});
  return {b("reshape", {b("matmul", {p, q})}, {{"shape", sizes}})};
}

// weight = v · g / |v|, the norm over all axes but one.
std::vector<ValueId> convert_weight_norm(Builder& b, const ForeignNode& node) {
  const ValueId v = node.value("v");
  const std::int64_t kept = integer(node, "dim", 0);  // -1: none
  Ints others;
  for (std::int64_t i = 0; i < rank(b, v); ++i)
    if (i != kept) others.push_back(i);
  const ValueId norm = b("sqrt", {b("sum", {b("square", {v})}, {{"dim", others}, {"keepdim", true}})});
  return {b("mul", {v, b("div", {node.value("g"), norm})})};
}

// Matrices along a diagonal, zeros beside them.
std::vector<ValueId> convert_block_diag(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> blocks = convert_atleast<2>(b, node);
  std::int64_t columns = 0, before = 0;
  for (const ValueId block : blocks) columns += size(b, node, block, 1);
  for (ValueId& block : blocks) {
    const std::int64_t width = size(b, node, block, 1);
    block = b("pad", {block}, {{"pad", Ints{before, columns - before - width}}});
    before += width;
  }
  return {b("cat", blocks, {{"dim", std::int64_t{0}}})};
}

// Places of the output in [-1, 1], in homogeneous coordinates, times the transposed theta.
std::vector<ValueId> convert_affine_grid(Builder& b, const ForeignNode& node) {
  const Ints whole = ints(node, "size");
  const bool corners = flag(node, "align_corners", false);
  if (whole.size() != 4) refuse(node, fmt::format("'{}' of {} axes, expected 4", node.target, whole.size()));
  const auto place = [&](std::int64_t i, std::int64_t count) {
    const auto n = static_cast<float>(count), at = static_cast<float>(i);
    if (!corners) return (2 * at + 1) / n - 1;
    return count > 1 ? 2 * at / (n - 1) - 1 : 0.0F;
  };
  std::vector<float> base;
  for (std::int64_t y = 0; y < whole[2]; ++y)
    for (std::int64_t x = 0; x < whole[3]; ++x) base.insert(base.end(), {place(x, whole[3]), place(y, whole[2]), 1});
  const ValueId turned = b("transpose", {node.value("theta")}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}});
  const ValueId grid = b("matmul", {b.constant(Tensor::from(base, {whole[2] * whole[3], 3})), turned});
  return {b("unflatten", {grid}, {{"dim", std::int64_t{1}}, {"sizes", Ints{whole[2], whole[3]}}})};
}

// ---- shapes ----

std::vector<ValueId> convert_rot90(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  const Ints dims = ints(node, "dims", Ints{0, 1});
  if (dims.size() != 2) refuse(node, "'aten.rot90.default' takes two axes");
  Ints order(static_cast<std::size_t>(rank(b, x)));
  std::iota(order.begin(), order.end(), 0);
  const auto p = static_cast<std::size_t>(infer::axis(dims[0], static_cast<int>(order.size())));
  const auto q = static_cast<std::size_t>(infer::axis(dims[1], static_cast<int>(order.size())));
  std::swap(order[p], order[q]);
  const auto flip = [&](const Ints& axes) { x = b("flip", {x}, {{"dims", axes}}); };
  const std::int64_t turns = ((integer(node, "k", 1) % 4) + 4) % 4;
  if (turns == 1 || turns == 2) flip(turns == 1 ? Ints{dims[1]} : dims);
  if (turns == 3) flip({dims[0]});
  return {turns % 2 == 1 ? permute(b, x, order) : x};
}

// Each line along an axis of its own, the same along the others.
std::vector<ValueId> grid(Builder& b, const ForeignNode& node, const std::vector<ValueId>& lines, bool columns_first) {
  const auto axes = static_cast<std::int64_t>(lines.size());
  Ints whole;
  for (const ValueId line : lines) whole.push_back(rank(b, line) == 0 ? 1 : size(b, node, line, 0));
  if (columns_first) std::swap(whole[0], whole[1]);
  std::vector<ValueId> out;
  for (std::int64_t i = 0; i < axes; ++i) {
    Ints own(static_cast<std::size_t>(axes), 1);
    own[static_cast<std::size_t>(columns_first && i < 2 ? 1 - i : i)] = -1;
    out.push_back(b("expand", {b("reshape", {lines[static_cast<std::size_t>(i)]}, {{"shape", own}})}, {{"size", whole}}));
  }
  return out;
}

std::vector<ValueId> convert_meshgrid(Builder& b, const ForeignNode& node) {
  const std::vector<ValueId> lines = node.values("tensors");
  return grid(b, node, lines, word(node, "indexing", "ij") == "xy" && lines.size() > 1);
}

std::vector<ValueId> convert_cartesian(Builder& b, const ForeignNode& node) {
  const std::vector<ValueId> lines = node.values("tensors");
  if (lines.size() == 1) return lines;
  std::vector<ValueId> columns;
  for (const ValueId line : grid(b, node, lines, false)) columns.push_back(flat(b, line));
  return {b("stack", columns, {{"dim", std::int64_t{1}}})};
}

// ---- constants ----

// As PyTorch has it: from both ends towards the middle, so that the last number is `end`.
std::vector<double> linear_steps(const ForeignNode& node) {
  const double start = number(node, "start"), end = number(node, "end");
  const std::int64_t count = integer(node, "steps");
  if (count < 0 || count > 100'000'000) refuse(node, fmt::format("'{}' in {} steps", node.target, count));
  const double step = count > 1 ? (end - start) / static_cast<double>(count - 1) : 0;
  std::vector<double> out;
  for (std::int64_t i = 0; i < count; ++i)
    out.push_back(i < count / 2 || count == 1 ? start + step * static_cast<double>(i) : end - step * static_cast<double>(count - 1 - i));
  return out;
}

ValueId line(Builder& b, const std::vector<double>& numbers, DType dtype) {
  return b.constant(Tensor::from(numbers, {static_cast<std::int64_t>(numbers.size())}).cast(dtype), b.path());
}

std::vector<ValueId> convert_linspace(Builder& b, const ForeignNode& node) {
  return {line(b, linear_steps(node), stated_dtype(node).value_or(DType::float32))};
}

std::vector<ValueId> convert_logspace(Builder& b, const ForeignNode& node) {
  std::vector<double> numbers = linear_steps(node);
  for (double& n : numbers) n = std::pow(number(node, "base", 10), n);
  return {line(b, numbers, stated_dtype(node).value_or(DType::float32))};
}

std::vector<ValueId> convert_eye(Builder& b, const ForeignNode& node) {
  const std::int64_t rows = integer(node, "n"), columns = integer(node, "m", rows);
  if (rows < 0 || columns < 0 || rows * columns > 100'000'000) refuse(node, fmt::format("'{}' of {} × {}", node.target, rows, columns));
  std::vector<float> ones(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < std::min(rows, columns); ++i) ones[static_cast<std::size_t>(i * columns + i)] = 1;
  return {b.constant(Tensor::from(ones, {rows, columns}).cast(stated_dtype(node).value_or(DType::float32)), b.path())};
}

// Rows and columns of the places on and below a diagonal, or on and above it.
template <bool lower>
std::vector<ValueId> convert_triangle(Builder& b, const ForeignNode& node) {
  const std::int64_t rows = integer(node, "row"), columns = integer(node, "col"), offset = integer(node, "offset", 0);
  if (rows < 0 || columns < 0 || rows * columns > 100'000'000) refuse(node, fmt::format("'{}' of {} × {}", node.target, rows, columns));
  std::vector<std::int64_t> places, across;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      if (lower ? j - i <= offset : j - i >= offset) places.push_back(i), across.push_back(j);
  const auto count = static_cast<std::int64_t>(places.size());
  places.insert(places.end(), across.begin(), across.end());
  return {b.constant(Tensor::from(places, {2, count}).cast(stated_dtype(node).value_or(DType::int64)), b.path())};
}

// ---- order ----

// All elements along an axis in order, and where they were.
std::vector<ValueId> sorted(Builder& b, const ForeignNode& node, ValueId x, std::int64_t dim, bool descending) {
  return b.multi("topk", {x}, {{"k", size(b, node, x, dim)}, {"dim", dim}, {"largest", descending}});
}

template <bool positions_only>
std::vector<ValueId> convert_sort(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  if (rank(b, x) == 0) refuse(node, fmt::format("'{}' of a tensor without axes", node.target));
  const std::vector<ValueId> both = sorted(b, node, x, axis(b, node, "dim", x, -1), flag(node, "descending", false));
  return positions_only ? std::vector{both[1]} : both;
}

// The k-th least along an axis; the median is the lower one of the middle.
std::vector<ValueId> kth(Builder& b, const ForeignNode& node, ValueId x, std::int64_t dim, std::int64_t k) {
  if (k < 1 || k > size(b, node, x, dim)) refuse(node, fmt::format("'{}' asks for number {} of {}", node.target, k, size(b, node, x, dim)));
  std::vector<ValueId> both = b.multi("topk", {x}, {{"k", k}, {"dim", dim}, {"largest", false}});
  for (ValueId& v : both) {
    v = select(b, v, dim, k - 1);
    if (flag(node, "keepdim", false)) v = unsqueeze(b, v, dim);
  }
  return both;
}

std::vector<ValueId> convert_kthvalue(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  return kth(b, node, x, axis(b, node, "dim", x, -1), integer(node, "k"));
}

std::vector<ValueId> convert_median(Builder& b, const ForeignNode& node) {
  const bool all = !node.find("dim");
  const ValueId x = all ? flat(b, node.value("self")) : node.value("self");
  const std::int64_t dim = all ? 0 : axis(b, node, "dim", x);
  std::vector<ValueId> both = kth(b, node, x, dim, (size(b, node, x, dim) + 1) / 2);
  if (all) both.resize(1);
  return both;
}

// Where x belongs between sorted numbers: how many of them are less, or with `right` not greater.
ValueId place_between(Builder& b, const ForeignNode& node, ValueId x, ValueId bounds) {
  if (rank(b, bounds) != 1) refuse(node, fmt::format("'{}' between numbers of {}, expected a vector", node.target, text(b.type(bounds))));
  const bool right = flag(node, "right", false) || word(node, "side", "left") == "right";
  const std::vector<ForeignArg> pair{{"self", unsqueeze(b, x, rank(b, x))}, {"boundaries", bounds}};
  const ValueId below = cast(b, b(right ? "ge" : "gt", promoted(b, node, pair)), DType::int64);
  return cast(b, b("sum", {below}, {{"dim", Ints{-1}}}), flag(node, "out_int32", false) ? DType::int32 : DType::int64);
}
std::vector<ValueId> convert_bucketize(Builder& b, const ForeignNode& node) {
  return {place_between(b, node, node.value("self"), node.value("boundaries"))};
}
std::vector<ValueId> convert_searchsorted(Builder& b, const ForeignNode& node) {
  if (given(node, "sorter")) refuse(node, fmt::format("'{}' with a sorter", node.target));
  return {place_between(b, node, node.value("self"), node.value("sorted_sequence"))};
}

// x[n:] - x[:-n] along an axis, between what is put before and behind it; as often as `n` says.
std::vector<ValueId> convert_diff(Builder& b, const ForeignNode& node) {
  ValueId x = node.value("self");
  const std::int64_t dim = axis(b, node, "dim", x, -1);
  std::vector<ValueId> parts;
  for (const char* name : {"prepend", "self", "append"})
    if (const ValueId part = node.value(name); part != absent) parts.push_back(part);
  if (parts.size() > 1) x = b("cat", parts, {{"dim", dim}});
  if (b.type(x).dtype == DType::boolean) refuse(node, fmt::format("'{}' of truth values", node.target));
  const auto part = [&](std::int64_t from, std::int64_t to) { return b("slice", {x}, {{"dim", dim}, {"start", from}, {"end", to}}); };
  for (std::int64_t n = integer(node, "n", 1); n > 0; --n) {
    const std::int64_t length = size(b, node, x, dim);
    if (length < 1) break;
    x = b("sub", {part(1, length), part(0, length - 1)});
  }
  return {x};
}

// ---- parts that are replaced ----

// The same tensor with `source` at fixed positions along an axis: picked from both, side by side.
ValueId replaced(Builder& b, ValueId x, std::int64_t dim, const std::vector<std::int64_t>& positions, ValueId source, std::int64_t length) {
  std::vector<std::int64_t> from(static_cast<std::size_t>(length));
  std::iota(from.begin(), from.end(), 0);
  for (std::size_t i = 0; i < positions.size(); ++i) from[static_cast<std::size_t>(positions[i])] = length + static_cast<std::int64_t>(i);
  const ValueId both = b("cat", {x, cast(b, source, b.type(x).dtype)}, {{"dim", dim}});
  return index_select(b, both, dim, from);
}

std::vector<ValueId> convert_select_scatter(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t dim = axis(b, node, "dim", x), length = size(b, node, x, dim);
  const std::int64_t at = infer::axis(integer(node, "index"), static_cast<int>(length));
  return {replaced(b, x, dim, {at}, unsqueeze(b, node.value("src"), dim), length)};
}

std::vector<ValueId> convert_slice_scatter(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t dim = axis(b, node, "dim", x, 0), length = size(b, node, x, dim), step = integer(node, "step", 1);
  const auto bounded = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + length : at, 0, length); };
  if (step < 1) refuse(node, fmt::format("'{}' by steps of {}", node.target, step));
  std::vector<std::int64_t> positions;
  for (std::int64_t at = bounded(integer(node, "start", 0)); at < bounded(integer(node, "end", length)); at += step)
    positions.push_back(at);
  return {positions.empty() ? x : replaced(b, x, dim, positions, node.value("src"), length)};
}

std::vector<std::int64_t> fixed_positions(Builder& b, const ForeignNode& node, std::int64_t length) {
  const ValueId index = node.value("index");
  if (!b.graph().is_constant(index)) refuse(node, fmt::format("'{}' at positions that the model computes", node.target));
  std::vector<std::int64_t> positions = b.graph()[index].constant->to_ints();
  for (std::int64_t& at : positions) at = infer::axis(at, static_cast<int>(length));
  return positions;
}

std::vector<ValueId> convert_index_copy(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t dim = axis(b, node, "dim", x), length = size(b, node, x, dim);
  return {replaced(b, x, dim, fixed_positions(b, node, length), node.value("source"), length)};
}

// The argument `value`, a number or a tensor of one.
ValueId filling(Builder& b, const ForeignNode& node, DType type) {
  const ForeignArg* value = node.find("value");
  const bool computed = value && std::holds_alternative<ValueId>(value->value);
  return computed ? cast(b, node.value("value"), type) : b.scalar(number(node, "value"), type);
}

std::vector<ValueId> convert_index_fill(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t dim = axis(b, node, "dim", x), length = size(b, node, x, dim);
  std::vector<std::uint8_t> filled(static_cast<std::size_t>(length));
  for (const std::int64_t at : fixed_positions(b, node, length)) filled[static_cast<std::size_t>(at)] = 1;
  Sizes along(static_cast<std::size_t>(rank(b, x)), 1);
  along[static_cast<std::size_t>(dim)] = length;
  const ValueId fill = filling(b, node, b.type(x).dtype);
  return {b("where", {b.constant(Tensor::from(filled, along).cast(DType::boolean)), fill, x})};
}

std::vector<ValueId> convert_index_add(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  ValueId source = node.value("source");
  const std::int64_t dim = axis(b, node, "dim", x);
  Ints line(static_cast<std::size_t>(rank(b, x)), 1), whole;
  line[static_cast<std::size_t>(dim)] = -1;
  for (std::int64_t i = 0; i < rank(b, source); ++i) whole.push_back(size(b, node, source, i));
  if (const double by = number(node, "alpha", 1); by != 1) source = b("mul", {source, b.scalar(by, b.type(source).dtype)});
  const ValueId index = b("expand", {b("reshape", {node.value("index")}, {{"shape", line}})}, {{"size", whole}});
  return {b("scatter", {x, index, source}, {{"dim", dim}, {"reduce", std::string("sum")}})};
}

// ---- the operators that run_decompositions() leaves ----

std::vector<ValueId> convert_convolution(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("input");
  if (!given(node, "weight")) refuse(node, fmt::format("'{}' lacks its argument 'weight'", node.target));
  const std::int64_t axes = rank(b, node.value("weight")) - 2;
  const bool transposed = flag(node, "transposed", false);
  if (axes < 1 || axes > 3) refuse(node, fmt::format("'{}' along {} axes", node.target, axes));
  const auto each = [&](const char* name, std::int64_t fallback) {
    return for_axes(node, name, static_cast<std::size_t>(axes), Ints{fallback});
  };
  std::vector<NamedAttr> attrs = {{"stride", each("stride", 1)},
                                  {"padding", each("padding", 0)},
                                  {"dilation", each("dilation", 1)},
                                  {"groups", integer(node, "groups", 1)}};
  if (transposed) attrs.push_back({"output_padding", each("output_padding", 0)});
  return {b(fmt::format("{}{}d", transposed ? "conv_transpose" : "conv", axes), {x, node.value("weight"), node.value("bias")}, attrs)};
}

std::vector<ValueId> convert_copy(Builder& b, const ForeignNode& node) {
  const Type& to = b.type(node.value("self"));
  const ValueId source = cast(b, node.value("src"), to.dtype);
  if (b.type(source).shape == to.shape) return {source};
  return {b("expand", {source}, {{"size", shape_of_result(node, "self")}})};
}

std::vector<ValueId> convert_fill(Builder& b, const ForeignNode& node) {
  return {b("expand", {filling(b, node, b.type(node.value("self")).dtype)}, {{"size", shape_of_result(node, "self")}})};
}

// Elements by their distance in memory. The importer adds how self lies there: "self_strides" (and a storage offset of its own).
std::vector<ValueId> convert_as_strided(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const auto unknown = [&](std::string_view what) { refuse(node, fmt::format("'{}' of a tensor whose {}", node.target, what)); };
  if (!given(node, "self_strides") || !is_static(shape(b, x))) unknown("place in memory is not fixed");
  const Sizes from = sizes(shape(b, x));
  const Ints memory = ints(node, "self_strides"), size = ints(node, "size"), stride = ints(node, "stride");
  if (size.size() != stride.size()) refuse(node, fmt::format("'{}' has {} sizes and {} strides", node.target, size.size(), stride.size()));
  Ints order(from.size());
  std::iota(order.begin(), order.end(), 0);
  const auto at = [](const auto& list, std::int64_t i) { return list[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return at(memory, i) > at(memory, j); });
  std::int64_t count = 1;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    if (at(from, *i) != 1 && at(memory, *i) != count) unknown("elements do not lie side by side");
    count *= at(from, *i);
  }
  std::vector<std::int64_t> places = {integer(node, "storage_offset", integer(node, "self_offset", 0)) - integer(node, "self_offset", 0)};
  for (std::size_t i = 0; i < size.size(); ++i) {
    std::vector<std::int64_t> wider;
    for (const std::int64_t place : places)
      for (std::int64_t k = 0; k < size[i]; ++k) wider.push_back(place + k * stride[i]);
    places = std::move(wider);
  }
  for (const std::int64_t place : places)
    if (place < 0 || place >= count) unknown("storage is larger than itself");
  ValueId line = flat(b, std::is_sorted(order.begin(), order.end()) ? x : permute(b, x, order));
  bool as_it_lies = static_cast<std::int64_t>(places.size()) == count;
  for (std::size_t i = 0; as_it_lies && i < places.size(); ++i) as_it_lies = places[i] == static_cast<std::int64_t>(i);
  if (!as_it_lies) line = index_select(b, line, 0, places);
  return {b("reshape", {line}, {{"shape", size}})};
}

// ---- the table ----

constexpr std::string_view outer = "unsqueeze(self, dim: 1) * vec2";
constexpr std::string_view distances = "sqrt(sum(square(unsqueeze(x1, dim: -2) - unsqueeze(x2, dim: -3)), dim: -1))";
constexpr std::string_view rrelu = "leaky_relu(self, negative_slope: ((lower|0.125) + (upper|0.3333333333333333)) / 2)";

std::vector<ForeignMap> table() {
  return {
      // One tensor, element by element. log1p and expm1 keep the digits of small numbers.
      {.target = "aten.log1p.default",
       .formula = "u = self + 1; d = u - 1; where(eq(u, 1), self, log(u) * where(eq(d, self), 1, self / d))"},
      {.target = "aten.expm1.default", .formula = "tanh(self / 2) * (exp(self) + 1)"},
      {.target = "aten.log2.default", .formula = "log(self) * 1.4426950408889634"},
      {.target = "aten.log10.default", .formula = "log(self) * 0.4342944819032518"},
      {.target = "aten.exp2.default", .formula = "pow(2, self)"},
      {.target = "aten.trunc.default", .formula = "sign(self) * floor(abs(self))"},
      {.target = "aten.fix.default", .formula = "trunc(self)"},
      {.target = "aten.frac.default", .formula = "self - trunc(self)"},
      {.target = "aten.sgn.default", .formula = "sign(self)"},
      {.target = "aten.erfc.default", .formula = "1 - erf(self)"},
      {.target = "aten.sinc.default", .formula = "x = self * 3.141592653589793; where(eq(self, 0), 1, sin(x) / x)"},
      {.target = "aten.deg2rad.default", .formula = "self * 0.017453292519943295"},
      {.target = "aten.rad2deg.default", .formula = "self * 57.29577951308232"},
      {.target = "aten.logit.default", .formula = "p = clamp(self, min: eps|-inf, max: 1 - (eps|-inf)); log(p / (1 - p))"},
      {.target = "aten.threshold.default", .formula = "where(le(self, threshold), value, self)"},
      {.target = "aten.rrelu.default", .pairs = "=training:false", .formula = rrelu},
      {.target = "aten.rrelu_with_noise_functional.default", .pairs = "=noise =training:false", .formula = rrelu},
      {.target = "aten.isfinite.default", .formula = "lt(abs(self), inf)"},
      {.target = "aten.isposinf.default", .formula = "eq(self, inf)"},
      {.target = "aten.isneginf.default", .formula = "eq(self, -inf)"},
      {.target = "aten.nan_to_num.default",
       .formula = "x = where(isnan(self), nan|0, self); "
                  "where(eq(x, inf), posinf|3.4028234663852886e38, where(eq(x, -inf), neginf|-3.4028234663852886e38, x))"},
      // Other names.
      {.target = "aten.absolute.default", .formula = "abs(self)"},
      {.target = "aten.negative.default", .formula = "-self"},
      {.target = "aten.subtract.Tensor", .formula = "self - (alpha|1) * other"},
      {.target = "aten.subtract.Scalar", .formula = "self - (alpha|1) * other"},
      {.target = "aten.divide.Tensor", .formula = "self / other"},
      {.target = "aten.divide.Scalar", .formula = "self / other"},
      {.target = "aten.arcsin.default", .formula = "asin(self)"},
      {.target = "aten.arcsinh.default", .formula = "asinh(self)"},
      {.target = "aten.arccos.default", .formula = "acos(self)"},
      {.target = "aten.arccosh.default", .formula = "acosh(self)"},
      {.target = "aten.arctan.default", .formula = "atan(self)"},
      {.target = "aten.arctanh.default", .formula = "atanh(self)"},
      {.target = "aten.arctan2.default", .formula = "atan2(self, other)"},
      {.target = "aten.greater.Tensor", .formula = "gt(self, other)"},
      {.target = "aten.greater.Scalar", .formula = "gt(self, other)"},
      {.target = "aten.greater_equal.Tensor", .formula = "ge(self, other)"},
      {.target = "aten.greater_equal.Scalar", .formula = "ge(self, other)"},
      {.target = "aten.less.Tensor", .formula = "lt(self, other)"},
      {.target = "aten.less.Scalar", .formula = "lt(self, other)"},
      {.target = "aten.less_equal.Tensor", .formula = "le(self, other)"},
      {.target = "aten.less_equal.Scalar", .formula = "le(self, other)"},
      {.target = "aten.not_equal.Tensor", .formula = "ne(self, other)"},
      {.target = "aten.not_equal.Scalar", .formula = "ne(self, other)"},
      {.target = "aten.special_expit.default", .formula = "sigmoid(self)"},
      {.target = "aten.special_erf.default", .formula = "erf(self)"},
      {.target = "aten.special_erfc.default", .formula = "erfc(self)"},
      {.target = "aten.special_exp2.default", .formula = "exp2(self)"},
      {.target = "aten.special_expm1.default", .formula = "expm1(self)"},
      {.target = "aten.special_log1p.default", .formula = "log1p(self)"},
      {.target = "aten.special_sinc.default", .formula = "sinc(self)"},
      // Several tensors, element by element.
      {.target = "aten.lerp.Scalar", .formula = "self + weight * (end - self)"},
      {.target = "aten.lerp.Tensor", .formula = "self + weight * (end - self)"},
      {.target = "aten.addcmul.default", .formula = "self + (value|1) * tensor1 * tensor2"},
      {.target = "aten.addcdiv.default", .formula = "self + (value|1) * tensor1 / tensor2"},
      {.target = "aten.fmod.Scalar", .formula = "sign(self) * remainder(abs(self), abs(other))"},
      {.target = "aten.fmod.Tensor", .formula = "sign(self) * remainder(abs(self), abs(other))"},
      {.target = "aten.hypot.default", .formula = "sqrt(self * self + other * other)"},
      {.target = "aten.fmax.default", .formula = "where(isnan(self), other, where(isnan(other), self, maximum(self, other)))"},
      {.target = "aten.fmin.default", .formula = "where(isnan(self), other, where(isnan(other), self, minimum(self, other)))"},
      {.target = "aten.heaviside.default", .formula = "where(eq(self, 0), values, where(gt(self, 0), 1, 0))"},
      {.target = "aten.copysign.Tensor", .formula = "where(logical_or(lt(other, 0), lt(1 / other, 0)), -abs(self), abs(self))"},
      {.target = "aten.logaddexp.default",
       .formula = "where(eq(self, other), self + 0.6931471805599453, maximum(self, other) + log1p(exp(-abs(self - other))))"},
      {.target = "aten.xlogy.Tensor", .formula = "where(isnan(other), other, where(eq(self, 0), 0, self * log(other)))"},
      {.target = "aten.isclose.default",
       .pairs = "=equal_nan:false",
       .formula = "logical_or(eq(self, other), le(abs(self - other), (atol|1e-08) + (rtol|1e-05) * abs(other)))"},
      // Along axes.
      {.target = "aten.any.default", .formula = "gt(amax(cast(cast(self, dtype: bool), dtype: int32)), 0)"},
      {.target = "aten.any.dim", .formula = "gt(amax(cast(cast(self, dtype: bool), dtype: int32), dim: dim, keepdim: keepdim|false), 0)"},
      {.target = "aten.any.dims",
       .formula = "gt(amax(cast(cast(self, dtype: bool), dtype: int32), dim: dim|none, keepdim: keepdim|false), 0)"},
      {.target = "aten.all.default", .formula = "gt(amin(cast(cast(self, dtype: bool), dtype: int32)), 0)"},
      {.target = "aten.all.dim", .formula = "gt(amin(cast(cast(self, dtype: bool), dtype: int32), dim: dim, keepdim: keepdim|false), 0)"},
      {.target = "aten.all.dims",
       .formula = "gt(amin(cast(cast(self, dtype: bool), dtype: int32), dim: dim|none, keepdim: keepdim|false), 0)"},
      {.target = "aten.count_nonzero.default", .formula = "sum(cast(cast(self, dtype: bool), dtype: int64), dim: dim|none)"},
      {.target = "aten.count_nonzero.dim_IntList", .formula = "sum(cast(cast(self, dtype: bool), dtype: int64), dim: dim)"},
      {.target = "aten.aminmax.default",
       .formula = "amin(self, dim: dim|none, keepdim: keepdim|false), amax(self, dim: dim|none, keepdim: keepdim|false)"},
      {.target = "aten.logsumexp.default",
       .formula = "m = clamp(amax(self, dim: dim, keepdim: true), min: -3e38, max: 3e38); "
                  "log(sum(exp(self - m), dim: dim, keepdim: keepdim|false)) + sum(m, dim: dim, keepdim: keepdim|false)"},
      {.target = "aten.cosine_similarity.default",
       .formula = "sum(x1 * x2, dim: dim|1) / (maximum(sqrt(sum(square(x1), dim: dim|1)), eps|1e-08) * "
                  "maximum(sqrt(sum(square(x2), dim: dim|1)), eps|1e-08))"},
      {.target = "aten.pairwise_distance.default",
       .pairs = "=p:2.0",
       .formula = "sqrt(sum(square(x1 - x2 + (eps|1e-06)), dim: -1, keepdim: keepdim|false))"},
      {.target = "aten.dist.default", .pairs = "=p:2 =p:2.0", .formula = "sqrt(sum(square(self - other)))"},
      {.target = "aten.linalg_matrix_norm.str_ord",
       .pairs = "=ord:fro",
       .formula = "sqrt(sum(square(self), dim: dim|[-2, -1], keepdim: keepdim|false))"},
      // Matrices.
      {.target = "aten.outer.default", .formula = outer},
      {.target = "aten.ger.default", .formula = outer},
      {.target = "aten.vdot.default", .formula = "sum(self * other)"},
      {.target = "aten.addmv.default", .formula = "(beta|1) * self + (alpha|1) * matmul(mat, vec)"},
      {.target = "aten.addbmm.default", .formula = "(beta|1) * self + (alpha|1) * sum(matmul(batch1, batch2), dim: 0)"},
      {.target = "aten.addr.default", .formula = "(beta|1) * self + (alpha|1) * unsqueeze(vec1, dim: 1) * vec2"},
      {.target = "aten.cdist.default", .pairs = "=p:2.0 =compute_mode", .formula = distances},
      {.target = "aten.linalg_cross.default",
       .formula = "roll(self, shifts: -1, dims: dim|-1) * roll(other, shifts: -2, dims: dim|-1) - "
                  "roll(self, shifts: -2, dims: dim|-1) * roll(other, shifts: -1, dims: dim|-1)"},
      {.target = "aten.cross.default",
       .formula = "roll(self, shifts: -1, dims: dim) * roll(other, shifts: -2, dims: dim) - "
                  "roll(self, shifts: -2, dims: dim) * roll(other, shifts: -1, dims: dim)"},
      {.target = "aten.bilinear.default",
       .formula = "sum(matmul(unsqueeze(unsqueeze(input1, dim: -2), dim: -2), weight) * unsqueeze(unsqueeze(input2, dim: -2), dim: -2), "
                  "dim: [-2, -1]) + (bias|0)"},
      {.target = "aten.numpy_T.default", .convert = convert_T},
      {.target = "aten.kron.default", .convert = convert_kron},
      {.target = "aten.tensordot.default", .convert = convert_tensordot},
      {.target = "aten.diagonal.default", .convert = convert_diagonal},
      {.target = "aten.diag_embed.default", .convert = convert_diag_embed},
      {.target = "aten.diag.default", .convert = convert_diag},
      {.target = "aten.block_diag.default", .convert = convert_block_diag},
      {.target = "aten.affine_grid_generator.default", .convert = convert_affine_grid},
      {.target = "aten.trace.default", .convert = convert_trace},
      {.target = "aten._weight_norm.default", .convert = convert_weight_norm},
      // Shapes.
      {.target = "aten.ravel.default", .formula = "reshape(self, shape: -1)"},
      {.target = "aten.fliplr.default", .formula = "flip(self, dims: 1)"},
      {.target = "aten.flipud.default", .formula = "flip(self, dims: 0)"},
      {.target = "aten.rot90.default", .convert = convert_rot90},
      {.target = "aten.meshgrid.default", .convert = convert_meshgrid},
      {.target = "aten.meshgrid.indexing", .convert = convert_meshgrid},
      {.target = "aten.cartesian_prod.default", .convert = convert_cartesian},
      {.target = "aten.atleast_1d.default", .convert = convert_atleast<1>},
      {.target = "aten.atleast_1d.Sequence", .convert = convert_atleast<1>},
      {.target = "aten.atleast_2d.default", .convert = convert_atleast<2>},
      {.target = "aten.atleast_2d.Sequence", .convert = convert_atleast<2>},
      {.target = "aten.atleast_3d.default", .convert = convert_atleast<3>},
      {.target = "aten.atleast_3d.Sequence", .convert = convert_atleast<3>},
      // Constants.
      {.target = "aten.linspace.default", .convert = convert_linspace},
      {.target = "aten.logspace.default", .convert = convert_logspace},
      {.target = "aten.eye.default", .convert = convert_eye},
      {.target = "aten.eye.m", .convert = convert_eye},
      {.target = "aten.tril_indices.default", .convert = convert_triangle<true>},
      {.target = "aten.triu_indices.default", .convert = convert_triangle<false>},
      // Order.
      {.target = "aten.sort.default", .convert = convert_sort<false>},
      {.target = "aten.sort.stable", .convert = convert_sort<false>},
      {.target = "aten.argsort.default", .convert = convert_sort<true>},
      {.target = "aten.argsort.stable", .convert = convert_sort<true>},
      {.target = "aten.diff.default", .convert = convert_diff},
      {.target = "aten.bucketize.Tensor", .convert = convert_bucketize},
      {.target = "aten.searchsorted.Tensor", .convert = convert_searchsorted},
      {.target = "aten.kthvalue.default", .convert = convert_kthvalue},
      {.target = "aten.median.default", .convert = convert_median},
      {.target = "aten.median.dim", .convert = convert_median},
      // What run_decompositions() leaves.
      {.target = "aten.convolution.default", .convert = convert_convolution},
      {.target = "aten.copy.default", .convert = convert_copy},
      {.target = "aten.fill.Scalar", .convert = convert_fill},
      {.target = "aten.fill.Tensor", .convert = convert_fill},
      {.target = "aten.as_strided.default", .convert = convert_as_strided},
      {.target = "aten._cdist_forward.default", .pairs = "=p:2.0 =compute_mode", .formula = distances},
      // Parts that are replaced.
      {.target = "aten.select_scatter.default", .convert = convert_select_scatter},
      {.target = "aten.slice_scatter.default", .convert = convert_slice_scatter},
      {.target = "aten.index_copy.default", .convert = convert_index_copy},
      {.target = "aten.index_add.default", .convert = convert_index_add},
      {.target = "aten.index_fill.int_Scalar", .convert = convert_index_fill},
      {.target = "aten.index_fill.int_Tensor", .convert = convert_index_fill},
  };
}

}  // namespace

std::span<const ForeignMap> compositions() {
  static const std::vector<ForeignMap> all = [] {
    std::vector<ForeignMap> rows = table();
    for (const ForeignMap& row : recurrent::torch_maps()) rows.push_back(row);
    return rows;
  }();
  return all;
}

}  // namespace wherry::ops
