// The Python module's native half: paths and NumPy arrays in, results out as JSON text and arrays. python/wherry/ gives it its face.
// One of the two places that catch exceptions (the other is cli/main.cpp): a Failure becomes wherry.WherryError.
#include "base/version.h"
#include "cli/convert.h"
#include "cli/inputs.h"
#include "cli/source_code.h"
#include "cli/tree.h"
#include "export/safetensors/write_safetensors.h"
#include "ir/outline.h"
#include "ir/text/write_model.h"
#include "ops/all_ops.h"
#include "runtime/evaluate.h"
#include "runtime/litert.h"

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <nlohmann/json.hpp>

#include <cstring>

namespace nb = nanobind;
using namespace nb::literals;

namespace wherry {
namespace {

using Array = nb::ndarray<nb::numpy, nb::ro, nb::c_contig, nb::device::cpu>;

nb::dlpack::dtype dlpack_dtype(DType dtype) {
  using nb::dlpack::dtype_code;
  const auto code = dtype == DType::boolean    ? dtype_code::Bool
                    : dtype == DType::bfloat16 ? dtype_code::Bfloat
                    : is_float(dtype)          ? dtype_code::Float
                    : is_signed(dtype)         ? dtype_code::Int
                                               : dtype_code::UInt;
  return {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(byte_size(dtype) * 8), 1};
}

Tensor to_tensor(const Array& array) {
  for (const DType dtype : all_dtypes()) {
    if (!is_number(dtype) || (dtype != carrier(dtype) && dtype != DType::bfloat16) || array.dtype() != dlpack_dtype(dtype)) continue;
    Sizes sizes;
    for (std::size_t axis = 0; axis < array.ndim(); ++axis) sizes.push_back(static_cast<std::int64_t>(array.shape(axis)));
    Tensor tensor = Tensor::allocate(dtype, sizes);
    if (tensor.bytes() > 0) std::memcpy(tensor.mutable_bytes().data(), array.data(), tensor.bytes());
    return tensor;
  }
  fail({.code = "E705",
        .message = "an array of a data type that no model takes",
        .next = "cast it, for example array.astype(numpy.float32)"});
}

nb::object to_array(const Tensor& tensor) {
  auto* owner = new Tensor(tensor.dtype() == carrier(tensor.dtype()) ? tensor.contiguous() : tensor.cast(carrier(tensor.dtype())));
  const nb::capsule guard(owner, [](void* p) noexcept { delete static_cast<Tensor*>(p); });
  std::vector<std::size_t> shape(owner->sizes().begin(), owner->sizes().end());
  return nb::cast(nb::ndarray<nb::numpy, nb::ro>(owner->data(), shape.size(), shape.data(), guard, nullptr, dlpack_dtype(owner->dtype())));
}

std::vector<Tensor> to_tensors(const std::vector<Array>& arrays) {
  std::vector<Tensor> tensors;
  for (const Array& array : arrays) tensors.push_back(to_tensor(array));
  return tensors;
}

nb::list to_arrays(const std::vector<Tensor>& tensors) {
  nb::list list;
  for (const Tensor& tensor : tensors) list.append(to_array(tensor));
  return list;
}

// The NumPy type that holds a value's elements, by its own name: "bfloat16" → "float32".
std::string carrier_of(const std::string& type) { return std::string(name(carrier(parse_dtype(type).value_or(DType::float32)))); }

std::vector<std::pair<std::string, std::string>> ports(const std::vector<Port>& list, const Graph& graph) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Port& port : list) out.emplace_back(port.name, text(graph.type(port.value)));
  return out;
}

LoadOptions load_options(const std::filesystem::path& weights, std::optional<std::uint64_t> seed,
                         std::map<std::string, std::int64_t> dims) {
  return {.weights = weights, .seed = seed, .dims = std::move(dims)};
}

std::string convert_json(const std::filesystem::path& source, const std::filesystem::path& out, const std::string& precision,
                         const std::string& to, const std::string& io, bool verify, std::optional<double> tolerance, int threads,
                         const std::filesystem::path& weights, std::optional<std::uint64_t> seed, std::map<std::string, std::int64_t> dims,
                         bool nested, std::optional<int> l1_cache) {
  ConvertOptions options{.source = source, .out = out, .load = load_options(weights, seed, std::move(dims))};
  std::map<std::string, Precision> precisions;
  for (const Precision p : {Precision::float32, Precision::float16, Precision::dynamic, Precision::int8_weights, Precision::int4})
    precisions.emplace(name(p), p);
  const std::map<std::string, Io> layouts = {{"nhwc", Io::nhwc}, {"nchw", Io::nchw}};
  const auto word = [](const auto& words, const std::string& value, const char* what) {
    const auto it = words.find(value);
    if (it == words.end())
      fail({.code = "E901", .message = fmt::format("{} '{}' is unknown", what, value), .next = "see help(wherry.convert)"});
    return it->second;
  };
  options.to = to;
  options.nested = nested;
  options.l1_cache = l1_cache;
  options.precision = word(precisions, precision, "precision");
  if (!io.empty()) options.io = word(layouts, io, "io");
  options.verify = verify;
  options.tolerance = tolerance;
  options.threads = threads;
  const nb::gil_scoped_release without_gil;
  return to_json(convert(options)).dump();
}

void write_weights(const std::filesystem::path& file, const std::map<std::string, Array>& arrays) {
  Weights weights;
  for (const auto& [key, array] : arrays) weights.emplace(key, to_tensor(array));
  write_safetensors(weights, file);
}

// A loaded source: its graph, typed and with weights.
class Loaded {
 public:
  Loaded(const std::filesystem::path& file, const std::filesystem::path& weights, std::optional<std::uint64_t> seed,
         std::map<std::string, std::int64_t> dims)
      : source_(load_source(file, load_options(weights, seed, std::move(dims)))) {}

  const std::string& name() const { return source_.graph.name; }
  std::vector<std::pair<std::string, std::string>> inputs() const { return ports(source_.graph.inputs, source_.graph); }
  std::vector<std::pair<std::string, std::string>> outputs() const { return ports(source_.graph.outputs, source_.graph); }
  std::string tree() const { return to_json(tree_of(source_.graph), source_.graph).dump(); }

  nb::list run(const std::vector<Array>& inputs) const { return to_arrays(Evaluator(source_.graph, all_ops()).run(to_tensors(inputs))); }

  nb::dict layers(const std::vector<Array>& inputs) const {
    nb::dict out;
    Evaluator(source_.graph, all_ops()).run(to_tensors(inputs), [&](const Value& value, const Tensor& tensor, int, int) {
      out[value.name.c_str()] = to_array(tensor);
    });
    return out;
  }

  std::string text(bool json) const {
    Model model = source_.model ? *source_.model : outline(source_.graph, all_ops());
    return json ? write_json(model) : write_yaml(model);
  }

  // (code, the name of the model's class or function)
  std::pair<std::string, std::string> source(const std::string& framework) {
    source::SourceCode code = source_code(source_, framework, {.origin = source_.file.filename().string(), .weights = ""});
    return {std::move(code.text), std::move(code.entry)};
  }

  // In which layer, attribute or weight another source differs first; "" where it is the same network under whatever name.
  std::string difference(const Loaded& other) const {
    Graph b = other.source_.graph;
    b.name = source_.graph.name;
    if (b.outputs.size() == source_.graph.outputs.size())
      for (std::size_t i = 0; i < b.outputs.size(); ++i) b.outputs[i].name = source_.graph.outputs[i].name;
    return first_difference(source_.graph, b);
  }

  nb::dict weights() const {
    nb::dict out;
    for (const auto& [key, tensor] : weights_of(source_.graph)) out[key.c_str()] = to_array(tensor);
    return out;
  }

 private:
  LoadedSource source_;
};

// A .tflite file in LiteRT.
class LiteRt {
 public:
  LiteRt(const std::filesystem::path& file, int threads) : model_(LiteRtModel::from_file(file, threads)) {}
  std::vector<std::pair<std::string, std::string>> inputs() const { return named(model_->inputs()); }
  std::vector<std::pair<std::string, std::string>> outputs() const { return named(model_->outputs()); }
  nb::list run(const std::vector<Array>& inputs) {
    std::vector<Tensor> tensors = to_tensors(inputs);
    for (std::size_t i = 0; i < tensors.size() && i < model_->inputs().size(); ++i)
      if (const DType wanted = model_->inputs()[i].type.dtype; tensors[i].dtype() == carrier(wanted)) tensors[i] = tensors[i].cast(wanted);
    return to_arrays(model_->run(tensors));
  }

 private:
  static std::vector<std::pair<std::string, std::string>> named(const std::vector<TensorInfo>& list) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const TensorInfo& info : list) out.emplace_back(info.name, text(info.type));
    return out;
  }
  std::unique_ptr<LiteRtModel> model_;
};

}  // namespace
}  // namespace wherry

NB_MODULE(_wherry, m) {
  using namespace wherry;
  m.attr("__version__") = nb::str(version.data(), version.size());
  static nb::object error_type = nb::exception<Failure>(m, "NativeError");
  nb::register_exception_translator(
      [](const std::exception_ptr& pointer, void*) {
        try {
          std::rethrow_exception(pointer);
        } catch (const Failure& failure) {
          nlohmann::ordered_json list = nlohmann::ordered_json::array();
          for (const Diagnostic& d : failure.diagnostics()) list.push_back(to_json(d));
          PyErr_SetObject(error_type.ptr(), nb::make_tuple(failure.what(), list.dump()).ptr());
        }
      },
      nullptr);
  m.def("convert", &convert_json, "source"_a, "out"_a, "precision"_a, "to"_a, "io"_a, "verify"_a, "tolerance"_a, "threads"_a, "weights"_a,
        "seed"_a, "dims"_a, "nested"_a, "l1_cache"_a);
  m.def("write_weights", &write_weights, "file"_a, "arrays"_a);
  m.def("carrier", &carrier_of, "dtype"_a);
  m.def("operators", [] {
    std::vector<std::string> names = all_ops().names();
    return names;
  });
  nb::class_<Loaded>(m, "Loaded")
      .def(nb::init<const std::filesystem::path&, const std::filesystem::path&, std::optional<std::uint64_t>,
                    std::map<std::string, std::int64_t>>())
      .def_prop_ro("name", &Loaded::name)
      .def_prop_ro("inputs", &Loaded::inputs)
      .def_prop_ro("outputs", &Loaded::outputs)
      .def("tree", &Loaded::tree)
      .def("run", &Loaded::run)
      .def("layers", &Loaded::layers)
      .def("text", &Loaded::text)
      .def("source", &Loaded::source)
      .def("difference", &Loaded::difference)
      .def("weights", &Loaded::weights);
  nb::class_<LiteRt>(m, "LiteRt")
      .def(nb::init<const std::filesystem::path&, int>())
      .def_prop_ro("inputs", &LiteRt::inputs)
      .def_prop_ro("outputs", &LiteRt::outputs)
      .def("run", &LiteRt::run);
}
