#include "import/onnx/tensors.h"

#include "base/diagnostics.h"
#include "import/storage.h"
#include "ir/packed.h"
#include "ops/onnx.h"

#include <cstring>

namespace wherry::onnx {

using ops::onnx::dtype_of, ops::onnx::element_name;

namespace {

[[noreturn]] void misfit(const TensorDef& def, const std::string& what, const std::string& how) {
  fail({.code = "E105",
        .message = fmt::format("{} is {}{}, but {}", what, element_name(def.data_type), text(to_shape(def.dims)), how),
        .next = "export the model again: the file was changed or cut"});
}

template <class T>
std::vector<std::byte> as_bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Integers of 64 bits, each cut to the element's size.
std::vector<std::byte> narrowed(const std::vector<std::int64_t>& values, std::size_t size) {
  std::vector<std::byte> bytes(values.size() * size);
  for (std::size_t i = 0; i < values.size(); ++i) std::memcpy(bytes.data() + i * size, &values[i], size);
  return bytes;
}

// What stands in one of the typed fields.
std::vector<std::byte> typed(const TensorDef& def, DType dtype) {
  if (dtype == DType::float32) {
    std::vector<float> values;
    for (const wire::Field& f : def.floats) wire::append_floats(f, values);
    return as_bytes_of(values);
  }
  if (dtype == DType::float64) {
    std::vector<double> values;
    for (const wire::Field& f : def.doubles) wire::append_doubles(f, values);
    return as_bytes_of(values);
  }
  std::vector<std::int64_t> values;
  const bool is_unsigned = dtype == DType::uint32 || dtype == DType::uint64;
  for (const wire::Field& f : dtype == DType::int64 ? def.longs : is_unsigned ? def.unsigneds : def.ints) wire::append_varints(f, values);
  return narrowed(values, byte_size(dtype));
}

}  // namespace

std::string_view TensorReader::external(const TensorDef& def, const std::string& what, std::shared_ptr<const MappedFile>& owner) {
  const std::filesystem::path name(def.location);
  const std::string next = "keep the file of weights beside the .onnx that names it";
  if (name.empty() || name.is_absolute() || def.location.find("..") != std::string_view::npos)
    fail({.code = "E105",
          .message = fmt::format("{} is said to lie in '{}', outside the model's folder", what, def.location),
          .next = next});
  auto it = others_.find(def.location);
  if (it == others_.end()) {
    const std::filesystem::path path = file_->path().parent_path() / name;
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
      fail({.code = "E101", .message = fmt::format("{} lies in '{}', which is not there", what, path.string()), .next = next});
    it = others_.emplace(def.location, MappedFile::open(path)).first;
  }
  owner = it->second;
  const std::string_view whole = owner->text();
  const auto offset = static_cast<std::uint64_t>(def.offset);
  if (def.offset < 0 || offset > whole.size() || (def.length >= 0 && static_cast<std::uint64_t>(def.length) > whole.size() - offset))
    misfit(def, what,
           fmt::format("its bytes {} to {} lie outside '{}' of {}", def.offset, def.offset + def.length, def.location, whole.size()));
  return def.length < 0 ? whole.substr(offset) : whole.substr(offset, static_cast<std::size_t>(def.length));
}

Tensor TensorReader::read(const TensorDef& def, const std::string& what) {
  const std::optional<DType> dtype = dtype_of(def.data_type);
  if (!dtype || def.has_strings || def.in_segments)
    fail({.code = "E107",
          .message = fmt::format("{} is a tensor of {}, which Wherry does not read", what,
                                 def.in_segments ? "segments" : element_name(def.data_type)),
          .next = "cast it to numbers before the model is exported"});
  std::int64_t count = 1;
  for (const std::int64_t size : def.dims)
    if (size < 0 || __builtin_mul_overflow(count, size, &count) || count > (std::int64_t{1} << 40))
      fail({.code = "E503", .message = fmt::format("{} is {}: a size is negative or too large", what, text(to_shape(def.dims)))});
  const std::size_t needed = stored_size(*dtype, count);

  std::shared_ptr<const void> owner = file_;
  std::string_view bytes = def.raw;
  if (def.external) {
    std::shared_ptr<const MappedFile> mapped;
    bytes = external(def, what, mapped);
    if (def.length < 0) bytes = bytes.substr(0, needed);
    owner = std::move(mapped);
  } else if (bytes.empty() && count > 0) {
    auto own = std::make_shared<std::vector<std::byte>>(typed(def, *dtype));
    bytes = {reinterpret_cast<const char*>(own->data()), own->size()};
    owner = std::move(own);
  }
  if (bytes.size() != needed) misfit(def, what, fmt::format("it has {} bytes where {} are needed", bytes.size(), needed));
  if (is_packed(*dtype)) return unpacked(std::as_bytes(std::span(bytes)), *dtype, def.dims);
  const OwnedBytes storage{std::as_bytes(std::span(bytes)), std::move(owner)};
  return view_storage(storage, *dtype, def.dims, contiguous_strides(def.dims), 0, what);
}

}  // namespace wherry::onnx
