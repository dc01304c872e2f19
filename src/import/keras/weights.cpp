#include "import/keras/weights.h"

#include "base/diagnostics.h"

#include <hdf5.h>

#include <fmt/format.h>

#include <optional>

namespace wherry {

namespace {

std::optional<DType> dtype_of(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT)
    return size == 4 ? std::optional(DType::float32) : size == 8 ? std::optional(DType::float64) : std::nullopt;
  if (H5Tget_class(type) != H5T_INTEGER) return std::nullopt;
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  if (size == 8) return is_signed ? DType::int64 : DType::uint64;
  if (size == 4) return is_signed ? DType::int32 : DType::uint32;
  if (size == 1) return is_signed ? DType::int8 : DType::uint8;
  return std::nullopt;
}

hid_t memory_type(DType dtype) {
  switch (dtype) {
    case DType::float64: return H5T_NATIVE_DOUBLE;
    case DType::int64: return H5T_NATIVE_INT64;
    case DType::uint64: return H5T_NATIVE_UINT64;
    case DType::int32: return H5T_NATIVE_INT32;
    case DType::uint32: return H5T_NATIVE_UINT32;
    case DType::int8: return H5T_NATIVE_INT8;
    case DType::uint8: return H5T_NATIVE_UINT8;
    default: return H5T_NATIVE_FLOAT;
  }
}

}  // namespace

KerasWeights::KerasWeights(const OwnedBytes& bytes, std::string title) : title_(std::move(title)) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, 1 << 16, 0);
  H5Pset_file_image(access, const_cast<std::byte*>(bytes.bytes.data()), bytes.bytes.size());
  file_ = H5Fopen("model.weights.h5", H5F_ACC_RDONLY, access);
  H5Pclose(access);
  if (file_ < 0)
    fail({.code = "E102",
          .message = fmt::format("the weights of '{}' are no HDF5 file, or one that was cut", title_),
          .next = "save the model again: model.save(FILE)"});
}

KerasWeights::~KerasWeights() {
  if (file_ >= 0) H5Fclose(file_);
}

std::vector<Tensor> KerasWeights::variables(const std::string& group) const {
  std::vector<Tensor> list;
  std::string path;
  for (const char* part : {"", "/vars"}) {  // HDF5 says whether a link is there for one step at a time
    std::string_view steps = part;
    if (steps.empty()) {
      for (std::size_t at = 0; at != std::string::npos;) {
        at = group.find('/', at + 1);
        path = group.substr(0, at);
        if (H5Lexists(file_, path.c_str(), H5P_DEFAULT) <= 0) return list;
      }
    } else {
      path = group + std::string(steps);
      if (H5Lexists(file_, path.c_str(), H5P_DEFAULT) <= 0) return list;
    }
  }
  for (int i = 0;; ++i) {
    const std::string name = fmt::format("{}/{}", path, i);
    if (H5Lexists(file_, name.c_str(), H5P_DEFAULT) <= 0) return list;
    const hid_t set = H5Dopen2(file_, name.c_str(), H5P_DEFAULT), space = H5Dget_space(set), type = H5Dget_type(set);
    std::vector<hsize_t> sizes(static_cast<std::size_t>(std::max(H5Sget_simple_extent_ndims(space), 0)));
    H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
    const std::optional<DType> dtype = dtype_of(type);
    bool read = dtype.has_value();
    if (read) {
      Tensor tensor = Tensor::allocate(*dtype, Sizes(sizes.begin(), sizes.end()));
      read = tensor.count() == 0 || H5Dread(set, memory_type(*dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.mutable_data()) >= 0;
      list.push_back(std::move(tensor));
    }
    H5Tclose(type), H5Sclose(space), H5Dclose(set);
    if (!read) fail({.code = "E105", .message = fmt::format("weight '{}' of '{}' cannot be read", name, title_)});
  }
}

std::string keras_group(const std::string& name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string words;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool begins = i > 0 && upper(name[i]) && ((i + 1 < name.size() && lower(name[i + 1])) || lower(name[i - 1]));
    if (begins) words += '_';
    words += upper(name[i]) ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return words;
}

}  // namespace wherry
