// model.weights.h5 as Keras keeps it: layers/<class in snake case>[_n]/vars/<number>.
#include "base/diagnostics.h"
#include "export/keras/write_keras.h"

#include <hdf5.h>

#include <fmt/format.h>

#include <map>

namespace wherry {

namespace {

// "Conv2DTranspose" → "conv2d_transpose": an underscore stands before a capital that begins a word.
std::string snake_case(const std::string& name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string words;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool begins = i > 0 && upper(name[i]) && ((i + 1 < name.size() && lower(name[i + 1])) || lower(name[i - 1]));
    if (begins) words += '_';
    words += name[i];
  }
  for (char& c : words) c = upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  return words;
}

[[noreturn]] void cannot_write(const std::filesystem::path& path) {
  fail({.code = "E601",
        .message = fmt::format("cannot write the weights beside '{}'", path.string()),
        .next = "check the space and the permissions of the folder"});
}

// An HDF5 identifier, closed when it goes.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::filesystem::path& path) : id_(id), close_(close) {
    if (id < 0) cannot_write(path);
  }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

hid_t file_type(DType dtype) {
  switch (dtype) {
    case DType::float64: return H5T_IEEE_F64LE;
    case DType::int64: return H5T_STD_I64LE;
    case DType::int32: return H5T_STD_I32LE;
    case DType::uint32: return H5T_STD_U32LE;
    case DType::uint8: return H5T_STD_U8LE;
    case DType::int8: return H5T_STD_I8LE;
    default: return H5T_IEEE_F32LE;
  }
}

// Keras's variables are float32 unless a policy says otherwise.
Tensor storable(const Tensor& tensor) {
  const bool half = tensor.dtype() == DType::float16 || tensor.dtype() == DType::bfloat16;
  return half ? tensor.cast(DType::float32) : tensor.contiguous();
}

class Weights5 {
 public:
  explicit Weights5(const std::filesystem::path& path)
      : path_(path),
        access_(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path),
        create_(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path),
        links_(H5Pcreate(H5P_LINK_CREATE), H5Pclose, path),
        file_((H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), H5Pset_libver_bounds(access_, H5F_LIBVER_V18, H5F_LIBVER_V18),
               H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_)),
              H5Fclose, path) {
    H5Pset_obj_track_times(create_, false);  // the same weights give the same bytes
    H5Pset_create_intermediate_group(links_, 1);
  }

  void write(const std::string& name, const Tensor& given) {
    const Tensor tensor = storable(given);
    std::vector<hsize_t> sizes(tensor.sizes().begin(), tensor.sizes().end());
    const Handle space(sizes.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                       H5Sclose, path_);
    const hid_t type = file_type(tensor.dtype());
    const Handle set(H5Dcreate2(file_, name.c_str(), type, space, links_, create_, H5P_DEFAULT), H5Dclose, path_);
    if (tensor.count() > 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.data()) < 0) cannot_write(path_);
  }

  void finish() {
    if (H5Fflush(file_, H5F_SCOPE_GLOBAL) < 0) cannot_write(path_);
  }

 private:
  std::filesystem::path path_;
  Handle access_, create_, links_, file_;
};

// The state of the generator that a layer draws from: a seed and a counter.
bool draws(const KerasNode& node) { return node.layer == "Dropout"; }
Tensor first_seed(int number) { return Tensor::from(std::vector<std::int64_t>{number, 0}, {2}); }

void write_layers(Weights5& file, const KerasGraph& graph, const std::string& within, int& drawing) {
  std::map<std::string, int> used;
  for (const int id : keras_layer_order(graph)) {
    const KerasNode& node = graph.nodes[static_cast<std::size_t>(id)];
    if (is_operation(node)) continue;
    const std::string word = snake_case(node.layer);
    const int number = used[word]++;
    const std::string group = fmt::format("{}layers/{}{}", within, word, number == 0 ? "" : fmt::format("_{}", number));
    if (node.inner) write_layers(file, *node.inner, group + "/", drawing);
    for (std::size_t i = 0; i < node.weights.size(); ++i) file.write(fmt::format("{}/vars/{}", group, i), node.weights[i].value);
    if (draws(node)) file.write(group + "/seed_generator/vars/0", first_seed(drawing++));
  }
}

}  // namespace

void write_keras_weights(const KerasGraph& graph, const std::filesystem::path& path) {
  Weights5 file(path);
  int drawing = 0;
  write_layers(file, graph, "", drawing);
  file.finish();
}

}  // namespace wherry
