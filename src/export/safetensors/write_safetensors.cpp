#include "export/safetensors/write_safetensors.h"

#include "base/files.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <bit>

namespace wherry {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

std::string_view format_name(DType dtype, const std::string& key) {
  switch (dtype) {
    case DType::float64: return "F64";
    case DType::float32: return "F32";
    case DType::float16: return "F16";
    case DType::bfloat16: return "BF16";
    case DType::float8_e4m3fn: return "F8_E4M3";
    case DType::float8_e5m2: return "F8_E5M2";
    case DType::int64: return "I64";
    case DType::int32: return "I32";
    case DType::int16: return "I16";
    case DType::int8: return "I8";
    case DType::uint64: return "U64";
    case DType::uint32: return "U32";
    case DType::uint16: return "U16";
    case DType::uint8: return "U8";
    case DType::boolean: return "BOOL";
    case DType::complex64: return "C64";
    default: break;
  }
  fail({.code = "E603",
        .message = fmt::format("safetensors has no data type for weight '{}', a {}", key, name(dtype)),
        .next = "convert the weight to a type that the format knows, such as float32"});
}

std::string header_of(const Weights& weights) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::size_t at = 0;
  for (const auto& [key, tensor] : weights) {
    header[key] = {{"dtype", format_name(tensor.dtype(), key)}, {"shape", tensor.sizes()}, {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const Weights& weights, const std::filesystem::path& path) {
  const std::string header = header_of(weights);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const auto& [key, tensor] : weights) {
    const Tensor dense = tensor.contiguous();
    file.write({dense.data(), dense.bytes()});
  }
  file.commit();
}

}  // namespace wherry
