// Loops over elements that eval slots share: dispatch on the data type, broadcasting, strided walks.
#pragma once

#include "base/diagnostics.h"
#include "ir/op_def.h"

#include <fmt/format.h>

#include <array>

namespace wherry::ops {

[[noreturn]] void no_eval_for(const Node& node, DType dtype);  // E704

// Calls f with a value of the C++ type that stores `dtype` (bool as uint8_t). Types without arithmetic are E704.
template <class F>
void with_type(const Node& node, DType dtype, F f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::float64: return f(double{});
    case DType::int64: return f(std::int64_t{});
    case DType::int32: return f(std::int32_t{});
    case DType::int16: return f(std::int16_t{});
    case DType::int8: return f(std::int8_t{});
    case DType::uint64: return f(std::uint64_t{});
    case DType::uint32: return f(std::uint32_t{});
    case DType::uint16: return f(std::uint16_t{});
    case DType::uint8:
    case DType::boolean: return f(std::uint8_t{});
    default: no_eval_for(node, dtype);
  }
}

template <class F>
void with_float(const Node& node, DType dtype, F f) {
  if (dtype == DType::float32) return f(float{});
  if (dtype == DType::float64) return f(double{});
  no_eval_for(node, dtype);
}

// y[i] = f(x[i]) for float types.
template <class F>
void map_floats(OpValues& v, F f) {
  with_float(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto x = v.inputs[0]->as<T>();
    const auto y = v.out().mutable_as<T>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = static_cast<T>(f(x[i]));
  });
}

// The same for every type.
template <class F>
void map_numbers(OpValues& v, F f) {
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto x = v.inputs[0]->as<T>();
    const auto y = v.out().mutable_as<T>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = static_cast<T>(f(x[i]));
  });
}

template <auto f>
void each_float(OpValues& v) {
  map_floats(v, f);
}
template <auto f>
void each_number(OpValues& v) {
  map_numbers(v, f);
}

// Strides with which a contiguous tensor of `sizes` is read as `out`: 0 along the axes where it is broadcast.
Sizes broadcast_strides(const Sizes& sizes, const Sizes& out);

// Merges axes that every operand steps through alike and drops axes of size 1; at least one axis remains.
void merge_axes(Sizes& sizes, std::vector<Sizes>& strides);

// Walks `sizes` in row-major order, a row at a time: row(out, offsets, n, steps), where `out` is the row's first element in
// the result, offsets[k] where operand k starts, and steps[k] how far it goes with each of the n elements.
template <class Row>
void walk_rows(Sizes sizes, std::vector<Sizes> strides, Row row) {
  for (const std::int64_t s : sizes)
    if (s == 0) return;
  merge_axes(sizes, strides);
  const std::size_t last = sizes.size() - 1;
  std::vector<std::int64_t> at(sizes.size()), offsets(strides.size()), steps(strides.size());
  for (std::size_t k = 0; k < strides.size(); ++k) steps[k] = strides[k][last];
  for (std::int64_t out = 0;; out += sizes[last]) {
    row(out, offsets, sizes[last], steps);
    std::size_t axis = last;
    while (axis-- > 0) {
      for (std::size_t k = 0; k < strides.size(); ++k) offsets[k] += strides[k][axis];
      if (++at[axis] < sizes[axis]) break;
      for (std::size_t k = 0; k < strides.size(); ++k) offsets[k] -= strides[k][axis] * sizes[axis];
      at[axis] = 0;
    }
    if (axis == static_cast<std::size_t>(-1)) return;
  }
}

// A number to compute with: integers as what wraps around at the ends of their type, which is what all frameworks do.
template <class T>
auto modular(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<std::uint64_t>(x);
  else
    return x;
}

// out = f(x, y) with broadcasting; both operands are read as X (a scalar constant of another type is cast), results stored as Y.
template <class X, class Y, class F>
void map_pairs(OpValues& v, DType operand, F f) {
  const Tensor a = v.inputs[0]->cast(operand), b = v.inputs[1]->cast(operand);
  const auto x = a.as<X>(), y = b.as<X>();
  const auto out = v.out().mutable_as<Y>();
  const Sizes& sizes = v.out().sizes();
  walk_rows(sizes, {broadcast_strides(a.sizes(), sizes), broadcast_strides(b.sizes(), sizes)},
            [&](std::int64_t at, const auto& from, std::int64_t n, const auto& step) {
              const X* p = x.data() + from[0];
              const X* q = y.data() + from[1];
              Y* to = out.data() + at;
              if (step[0] == 1 && step[1] == 1) {
                for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(f(p[i], q[i]));
              } else if (step[0] == 1 && step[1] == 0) {
                for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(f(p[i], *q));
              } else {
                for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(f(p[i * step[0]], q[i * step[1]]));
              }
            });
}

// Copies elements of any type: out[i…] = x[offset + Σ i·stride].
void copy_view(const Tensor& x, std::int64_t offset, const Sizes& strides, Tensor& out);

}  // namespace wherry::ops
