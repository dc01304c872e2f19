#include "import/safetensors/read_safetensors.h"

#include "base/files.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace wherry {

namespace {

namespace dom = simdjson::dom;

constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit

struct Entry {
  std::string key;
  DType dtype;
  Sizes sizes;
  std::uint64_t begin, end;
};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(MappedFile::open(path)), shown_(path.string()) {}

  Weights read() {
    const std::span<const std::byte> bytes = file_->bytes();
    std::uint64_t length = 0;
    if (bytes.size() < 8) damaged("E102", fmt::format("it has {} bytes, the header's length alone takes 8", bytes.size()));
    std::memcpy(&length, bytes.data(), 8);
    if (length > longest_header)
      damaged("E107", fmt::format("it says that its header has {} bytes; no safetensors file has more than {}", length, longest_header));
    if (length > bytes.size() - 8)
      damaged("E102", fmt::format("its header should have {} bytes, but only {} follow", length, bytes.size() - 8));
    const std::uint64_t size = bytes.size() - 8 - length;
    std::vector<Entry> entries = header(file_->text().substr(8, length), size);
    check_cover(entries, size);
    Weights weights;
    for (Entry& e : entries) {
      const bool fresh = weights.emplace(e.key, view(e, bytes.subspan(8 + length + e.begin, e.end - e.begin))).second;
      if (!fresh) damaged("E104", fmt::format("weight '{}' stands twice in its header", e.key));
    }
    return weights;
  }

 private:
  // Straight into the mapped file; a copy only where a foreign writer left the elements unaligned.
  Tensor view(const Entry& e, std::span<const std::byte> bytes) const {
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % byte_size(e.dtype) == 0)
      return Tensor(e.dtype, e.sizes, contiguous_strides(e.sizes), bytes.data(), file_);
    auto copy = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    const std::byte* base = copy->data();
    return Tensor(e.dtype, e.sizes, contiguous_strides(e.sizes), base, std::move(copy));
  }

  [[noreturn]] void damaged(const char* code, const std::string& reason) const {
    fail({.code = code,
          .message = fmt::format("'{}' is not a whole safetensors file: {}", shown_, reason),
          .next = "copy or download the file again"});
  }

  static std::optional<DType> dtype_of(std::string_view word) {
    static const std::pair<std::string_view, DType> rows[] = {{"F64", DType::float64},
                                                              {"F32", DType::float32},
                                                              {"F16", DType::float16},
                                                              {"BF16", DType::bfloat16},
                                                              {"F8_E4M3", DType::float8_e4m3fn},
                                                              {"F8_E5M2", DType::float8_e5m2},
                                                              {"I64", DType::int64},
                                                              {"I32", DType::int32},
                                                              {"I16", DType::int16},
                                                              {"I8", DType::int8},
                                                              {"U64", DType::uint64},
                                                              {"U32", DType::uint32},
                                                              {"U16", DType::uint16},
                                                              {"U8", DType::uint8},
                                                              {"BOOL", DType::boolean},
                                                              {"C64", DType::complex64}};
    for (const auto& [name, dtype] : rows)
      if (name == word) return dtype;
    return std::nullopt;
  }

  std::vector<Entry> header(std::string_view text, std::uint64_t size) const {
    dom::parser parser;
    const simdjson::padded_string padded(text);
    dom::element root;
    if (const auto error = parser.parse(padded).get(root))
      damaged("E104", fmt::format("its header is not JSON ({})", simdjson::error_message(error)));
    dom::object object;
    if (root.get(object)) damaged("E104", "its header is not a JSON object");
    std::vector<Entry> entries;
    for (const auto [key, value] : object)
      if (key != "__metadata__") entries.push_back(entry(std::string(key), value, size));
    return entries;
  }

  Entry entry(std::string key, const dom::element& value, std::uint64_t size) const {
    std::string_view word;
    dom::array shape, offsets;
    if (value["dtype"].get(word) || value["shape"].get(shape) || value["data_offsets"].get(offsets))
      damaged("E104", fmt::format("weight '{}' lacks its dtype, shape or data_offsets", key));
    const std::optional<DType> dtype = dtype_of(word);
    if (!dtype) damaged("E106", fmt::format("weight '{}' has the unknown data type '{}'", key, word));
    Entry result{std::move(key), *dtype, {}, 0, 0};
    std::uint64_t bytes = byte_size(*dtype);
    for (const dom::element item : shape) {
      std::int64_t extent = 0;
      if (item.get(extent) || extent < 0) damaged("E104", fmt::format("weight '{}' has a shape that is not a list of sizes", result.key));
      result.sizes.push_back(extent);
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes))
        damaged("E105", fmt::format("the shape of weight '{}' overflows", result.key));
    }
    if (offsets.size() != 2 || offsets.at(0).get(result.begin) || offsets.at(1).get(result.end) || result.begin > result.end ||
        result.end > size)
      damaged("E102", fmt::format("the bytes of weight '{}' lie outside the file", result.key));
    if (result.end - result.begin != bytes)
      damaged("E105", fmt::format("weight '{}' is {}{}, which takes {} bytes; it has {}", result.key, name(*dtype),
                                  wherry::text(to_shape(result.sizes)), bytes, result.end - result.begin));
    return result;
  }

  // The format wants every byte to belong to exactly one weight.
  void check_cover(std::vector<Entry>& entries, std::uint64_t size) const {
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t at = 0;
    for (const Entry& e : entries) {
      if (e.begin != at)
        damaged("E102", fmt::format("the bytes of weight '{}' {}", e.key, e.begin < at ? "overlap another's" : "leave a gap before them"));
      at = e.end;
    }
    if (at != size) damaged("E102", fmt::format("its weights take {} bytes, but {} follow the header", at, size));
  }

  std::shared_ptr<const MappedFile> file_;
  std::string shown_;
};

}  // namespace

Weights read_safetensors(const std::filesystem::path& file) { return Reader(file).read(); }

}  // namespace wherry
