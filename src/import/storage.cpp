#include "import/storage.h"

#include "base/diagnostics.h"

#include <fmt/format.h>

namespace wherry {

namespace {

constexpr std::int64_t most_elements = std::int64_t{1} << 34;

// One past the last byte that the view touches; nullopt when that is not a number of 63 bits or something is negative.
std::optional<std::int64_t> end_of_view(DType dtype, const Sizes& sizes, const Sizes& strides, std::int64_t offset) {
  std::int64_t last = offset, count = 1, step = 0;
  if (offset < 0) return std::nullopt;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 || strides[i] < 0 || __builtin_mul_overflow(count, sizes[i], &count)) return std::nullopt;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) || (sizes[i] > 0 && __builtin_add_overflow(last, step, &last)))
      return std::nullopt;
  }
  if (count > most_elements) return std::nullopt;
  if (count == 0) return 0;
  std::int64_t bytes = 0;
  if (last == INT64_MAX || __builtin_mul_overflow(last + 1, static_cast<std::int64_t>(byte_size(dtype)), &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace

Tensor view_storage(const OwnedBytes& storage, DType dtype, const Sizes& sizes, const Sizes& strides, std::int64_t offset,
                    const std::string& what) {
  const std::string next = "export it again, or copy the file again";
  const std::string type = std::string(name(dtype)) + text(to_shape(sizes));
  if (strides.size() != sizes.size())
    fail({.code = "E105", .message = fmt::format("{} is {} but has {} strides", what, type, strides.size()), .next = next});
  const std::optional<std::int64_t> end = end_of_view(dtype, sizes, strides, offset);
  if (!end)
    fail({.code = "E503",
          .message = fmt::format("{} is {} with strides {} and offset {}: a size is negative or too large", what, type,
                                 text(to_shape(strides)), offset),
          .next = next});
  if (static_cast<std::uint64_t>(*end) > storage.bytes.size())
    fail({.code = "E105",
          .message = fmt::format("{} is {} and needs {} bytes, but its storage holds {}", what, type, *end, storage.bytes.size()),
          .next = next});
  if (*end == 0) return {dtype, sizes, strides, nullptr, nullptr};
  const std::byte* base = storage.bytes.data();
  std::shared_ptr<const void> owner = storage.owner;
  if (reinterpret_cast<std::uintptr_t>(base) % byte_size(dtype) != 0) {  // an archive that does not align its entries
    auto copy = std::make_shared<std::vector<std::byte>>(storage.bytes.begin(), storage.bytes.end());
    base = copy->data();
    owner = std::move(copy);
  }
  return {dtype, sizes, strides, base + static_cast<std::size_t>(offset) * byte_size(dtype), std::move(owner)};
}

}  // namespace wherry
