#include "import/onnx/tensors.h"

#include "base/diagnostics.h"
#include "import/storage.h"

#include <cstring>

namespace wherry::onnx {

namespace {

struct ElementType {
  std::string_view name;
  std::optional<DType> dtype;
};
// By ONNX's number.
const ElementType element_types[] = {{"undefined", {}},
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
                                     {"float8e4m3fn", {}},
                                     {"float8e4m3fnuz", {}},
                                     {"float8e5m2", {}},
                                     {"float8e5m2fnuz", {}},
                                     {"uint4", DType::uint8},
                                     {"int4", DType::int8},
                                     {"float4e2m1", {}},
                                     {"float8e8m0", {}},
                                     {"uint2", {}},
                                     {"int2", {}}};
constexpr std::int64_t uint4 = 21, int4 = 22;

const ElementType* find(std::int64_t data_type) {
  const bool known = data_type >= 0 && data_type < static_cast<std::int64_t>(std::size(element_types));
  return known ? &element_types[data_type] : nullptr;
}

[[noreturn]] void misfit(const TensorDef& def, const std::string& what, const std::string& how) {
  fail({.code = "E105",
        .message = fmt::format("{} is {}{}, but {}", what, name_of(def.data_type), text(to_shape(def.dims)), how),
        .next = "export the model again: the file was changed or cut"});
}

// Two elements a byte, the first in the low half.
std::vector<std::byte> unpacked(std::string_view packed, std::int64_t count, bool is_signed) {
  std::vector<std::byte> out;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto byte = static_cast<std::uint8_t>(packed[static_cast<std::size_t>(i / 2)]);
    const int half = i % 2 ? byte >> 4 : byte & 15;
    out.push_back(static_cast<std::byte>(is_signed && half > 7 ? half - 16 : half));
  }
  return out;
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

std::optional<DType> dtype_of(std::int64_t data_type) {
  const ElementType* type = find(data_type);
  return type ? type->dtype : std::nullopt;
}

std::string name_of(std::int64_t data_type) {
  const ElementType* type = find(data_type);
  return type ? std::string(type->name) : fmt::format("type {}", data_type);
}

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
          .message =
              fmt::format("{} is a tensor of {}, which Wherry does not read", what, def.in_segments ? "segments" : name_of(def.data_type)),
          .next = "cast it to numbers before the model is exported"});
  std::int64_t count = 1;
  for (const std::int64_t size : def.dims)
    if (size < 0 || __builtin_mul_overflow(count, size, &count) || count > (std::int64_t{1} << 40))
      fail({.code = "E503", .message = fmt::format("{} is {}: a size is negative or too large", what, text(to_shape(def.dims)))});
  const bool halves = def.data_type == uint4 || def.data_type == int4;
  const auto needed = static_cast<std::size_t>(halves ? (count + 1) / 2 : count) * (halves ? 1 : byte_size(*dtype));

  std::shared_ptr<const void> owner = file_;
  std::string_view bytes = def.raw;
  if (def.external) {
    std::shared_ptr<const MappedFile> mapped;
    bytes = external(def, what, mapped);
    if (def.length < 0) bytes = bytes.substr(0, needed);
    owner = std::move(mapped);
  } else if (bytes.empty() && count > 0) {
    auto own = std::make_shared<std::vector<std::byte>>(halves ? typed(def, DType::uint8) : typed(def, *dtype));
    bytes = {reinterpret_cast<const char*>(own->data()), own->size()};
    owner = std::move(own);
  }
  if (bytes.size() != needed) misfit(def, what, fmt::format("it has {} bytes where {} are needed", bytes.size(), needed));
  if (halves) {
    auto own = std::make_shared<std::vector<std::byte>>(unpacked(bytes, count, def.data_type == int4));
    bytes = {reinterpret_cast<const char*>(own->data()), own->size()};
    owner = std::move(own);
  }
  const OwnedBytes storage{std::as_bytes(std::span(bytes)), std::move(owner)};
  return view_storage(storage, *dtype, def.dims, contiguous_strides(def.dims), 0, what);
}

}  // namespace wherry::onnx
