#include "ops/elementwise.h"

#include <cstring>

namespace wherry::ops {

void no_eval_for(const Node& node, DType dtype) {
  fail({.code = "E704",
        .message = fmt::format("{} has no reference evaluation for {}", node.op->name, name(dtype)),
        .at = node.where(),
        .next = "convert the model to float32 before it is exported"});
}

Sizes broadcast_strides(const Sizes& sizes, const Sizes& out) {
  const Sizes own = contiguous_strides(sizes);
  Sizes strides(out.size());
  const std::size_t lead = out.size() - sizes.size();
  for (std::size_t i = 0; i < sizes.size(); ++i) strides[lead + i] = sizes[i] == 1 ? 0 : own[i];
  return strides;
}

void merge_axes(Sizes& sizes, std::vector<Sizes>& strides) {
  Sizes merged;
  std::vector<Sizes> steps(strides.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    bool joins = !merged.empty();
    for (std::size_t k = 0; joins && k < strides.size(); ++k) joins = steps[k].back() == strides[k][i] * sizes[i];
    if (joins)
      merged.back() *= sizes[i];
    else
      merged.push_back(sizes[i]);
    for (std::size_t k = 0; k < strides.size(); ++k) {
      if (joins)
        steps[k].back() = strides[k][i];
      else
        steps[k].push_back(strides[k][i]);
    }
  }
  if (merged.empty()) {
    merged = {1};
    for (Sizes& s : steps) s = {0};
  }
  sizes = std::move(merged), strides = std::move(steps);
}

void copy_view(const Tensor& x, std::int64_t offset, const Sizes& strides, Tensor& out) {
  const auto copy = [&](auto zero) {
    using T = decltype(zero);
    const T* from = reinterpret_cast<const T*>(x.data()) + offset;
    T* to = reinterpret_cast<T*>(out.mutable_data());
    walk_rows(out.sizes(), {strides}, [&](std::int64_t at, const auto& start, std::int64_t n, const auto& step) {
      const T* p = from + start[0];
      if (step[0] == 1)
        std::memcpy(to + at, p, static_cast<std::size_t>(n) * sizeof(T));
      else
        for (std::int64_t i = 0; i < n; ++i) to[at + i] = p[i * step[0]];
    });
  };
  switch (byte_size(x.dtype())) {
    case 1: return copy(std::uint8_t{});
    case 2: return copy(std::uint16_t{});
    case 4: return copy(std::uint32_t{});
    case 8: return copy(std::uint64_t{});
    default: return copy(std::array<std::uint64_t, 2>{});
  }
}

}  // namespace wherry::ops
