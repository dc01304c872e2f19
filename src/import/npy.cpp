#include "import/npy.h"

#include "base/files.h"
#include "import/archive.h"

#include <charconv>
#include <regex>

namespace wherry {

namespace {

[[noreturn]] void damaged(const std::string& title, const std::string& what, const char* code = "E102") {
  fail({.code = code, .message = fmt::format("'{}' {}", title, what), .next = "save it again with numpy.save or numpy.savez"});
}

DType dtype_of(const std::string& descr, const std::string& title) {
  static const std::map<std::string, DType, std::less<>> known = {{"f4", DType::float32}, {"f2", DType::float16}, {"f8", DType::float64},
                                                                  {"i1", DType::int8},    {"u1", DType::uint8},   {"b1", DType::boolean},
                                                                  {"i2", DType::int16},   {"i4", DType::int32},   {"i8", DType::int64},
                                                                  {"u2", DType::uint16},  {"u4", DType::uint32}};
  const auto it = known.find(descr.empty() ? "" : descr.substr(1));
  if (it == known.end() || descr[0] == '>') damaged(title, fmt::format("holds data of type '{}', which no model takes", descr), "E107");
  return it->second;
}

Tensor read_npy(const OwnedBytes& file, const std::string& title) {
  const std::string_view text = file.text();
  if (text.size() < 12 || text.substr(0, 6) != "\x93NUMPY") damaged(title, "is no .npy array", "E107");
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(text[i])); };
  const bool wide = byte(6) >= 2;
  const std::size_t length = wide ? byte(8) | byte(9) << 8U | byte(10) << 16U | byte(11) << 24U : byte(8) | byte(9) << 8U;
  const std::size_t begin = (wide ? 12U : 10U), end = begin + length;
  if (end > text.size()) damaged(title, "is truncated");
  const std::string header(text.substr(begin, std::min<std::size_t>(length, 65536)));
  std::smatch match;
  static const std::regex pattern(R"('descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([^)]*)\))");
  if (!std::regex_search(header, match, pattern)) damaged(title, "has a header that cannot be read");
  Sizes sizes;
  std::int64_t count = 1;
  const std::string shape = match[3];
  for (const char* at = shape.data(); at < shape.data() + shape.size();) {
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at, shape.data() + shape.size(), size);
    if (error == std::errc()) {
      sizes.push_back(size);
      if (size < 0 || __builtin_mul_overflow(count, size, &count)) damaged(title, "has a shape that overflows", "E503");
    }
    at = error == std::errc() ? next : at + 1;
  }
  const DType dtype = dtype_of(match[1], title);
  const std::size_t have = text.size() - end;
  if (static_cast<std::size_t>(count) > have / byte_size(dtype))
    damaged(title, fmt::format("is truncated: {} elements in {} bytes", count, have));
  Sizes strides = contiguous_strides(sizes);
  if (match[2] == "True") {  // the first axis runs fastest
    std::int64_t step = 1;
    for (std::size_t i = 0; i < sizes.size(); ++i) strides[i] = step, step *= sizes[i];
  }
  Tensor view(dtype, sizes, strides, file.bytes.data() + end, file.owner);
  if (view.is_contiguous() && reinterpret_cast<std::uintptr_t>(file.bytes.data() + end) % byte_size(dtype) == 0) return view;
  Tensor copy = Tensor::allocate(dtype, sizes);  // in an archive the elements stand at any alignment
  view.copy_to(copy.mutable_bytes().data());
  return copy;
}

}  // namespace

std::vector<NamedArray> read_npz(const std::filesystem::path& file) {
  const std::shared_ptr<const MappedFile> mapped = MappedFile::open(file);
  if (!Archive::looks_like_zip(mapped->bytes())) return {{file.stem().string(), read_npy({mapped->bytes(), mapped}, file.string())}};
  Archive archive({mapped->bytes(), mapped}, file.string());
  std::vector<NamedArray> arrays;
  for (const std::string& name : archive.names()) {
    const std::string stem = name.ends_with(".npy") ? name.substr(0, name.size() - 4) : name;
    arrays.push_back({stem, read_npy(archive.read(name), fmt::format("{}' entry '{}", file.string(), name))});
  }
  return arrays;
}

}  // namespace wherry
