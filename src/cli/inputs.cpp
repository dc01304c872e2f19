#include "cli/inputs.h"

#include "base/text.h"
#include "import/npy.h"
#include "runtime/evaluate.h"

namespace wherry {

namespace {

std::string listing(const std::vector<NamedType>& ports) {
  std::vector<std::string> parts;
  for (const NamedType& port : ports) parts.push_back(fmt::format("{}: {}", port.name, text(port.type)));
  return join(parts, ", ");
}

[[noreturn]] void do_not_fit(const std::filesystem::path& file, const std::string& what, const std::vector<NamedType>& wanted) {
  fail({.code = "E705",
        .message = fmt::format("'{}' {}", file.string(), what),
        .in = "the model takes " + listing(wanted),
        .next = "save arrays of these shapes: numpy.savez(FILE, name=array, …)"});
}

}  // namespace

std::vector<Tensor> seeded_inputs(const std::vector<NamedType>& wanted, std::uint64_t seed) {
  std::vector<Type> types;
  for (const NamedType& port : wanted) types.push_back(port.type);
  return seeded_tensors(types, seed);
}

std::vector<Tensor> read_inputs(const std::filesystem::path& file, const std::vector<NamedType>& wanted) {
  const std::vector<NamedArray> arrays = read_npz(file);
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto named = std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& a) { return a.name == wanted[i].name; });
    if (named == arrays.end() && arrays.size() != wanted.size())
      do_not_fit(file, fmt::format("has no array '{}' and {} arrays for {} inputs", wanted[i].name, arrays.size(), wanted.size()), wanted);
    const Tensor& tensor = (named == arrays.end() ? arrays[i] : *named).tensor;
    const Type& type = wanted[i].type;
    if (to_shape(tensor.sizes()) != type.shape || is_float(tensor.dtype()) != is_float(type.dtype))
      do_not_fit(file, fmt::format("gives {} for input '{}'", text(tensor.type()), wanted[i].name), wanted);
    inputs.push_back(tensor.cast(type.dtype));
  }
  return inputs;
}

}  // namespace wherry
