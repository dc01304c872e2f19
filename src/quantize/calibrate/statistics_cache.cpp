#include "quantize/calibrate/statistics_cache.h"

#include <nlohmann/json.hpp>

#include <fstream>

#include <unistd.h>
#include <xxhash.h>

namespace wherry {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr int format = 5;  // changes with what is counted and how
constexpr const char* suffix = ".statistics";

std::string hash_of(std::string_view bytes) { return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size())); }

// MessagePack behind its own hash.
std::string sealed(const Json& value) {
  std::string bytes;
  Json::to_msgpack(value, nlohmann::detail::output_adapter<char>(bytes));
  return hash_of(bytes) + bytes;
}

std::optional<Json> unsealed(std::string_view file) {
  constexpr std::size_t seal = 16;
  if (file.size() < seal || hash_of(file.substr(seal)) != file.substr(0, seal)) return std::nullopt;
  Json value = Json::from_msgpack(file.substr(seal), true, false);
  if (!value.is_object() || value.value("format", 0) != format) return std::nullopt;
  return value;
}

Json to_json(const Histogram& histogram) {
  const Histogram::Parts parts = histogram.parts();
  return {parts.exponent, parts.first, parts.low, parts.high, parts.finite, parts.counts};
}

Statistics from_json(const Json& value) {
  Statistics out{.order = value.at("order").get<std::vector<std::size_t>>(), .channels = {}, .tensors = {}, .answers = {}};
  for (const Json& row : value.at("answers")) out.answers[row.at(0)] = row.at(1).get<std::vector<std::vector<float>>>();
  for (const Json& row : value.at("offsets")) out.channels.offsets[row.at(0)] = row.at(1).get<std::vector<float>>();
  for (const Json& row : value.at("factors")) out.channels.factors[row.at(0)] = row.at(1).get<std::vector<float>>();
  for (const Json& row : value.at("tensors"))
    out.tensors.push_back(Histogram::of({.exponent = row.at(0),
                                         .first = row.at(1),
                                         .low = row.at(2),
                                         .high = row.at(3),
                                         .finite = row.at(4),
                                         .counts = row.at(5).get<std::vector<std::int64_t>>()}));
  return out;
}

std::optional<std::string> read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

void remove_oldest(const fs::path& folder, std::size_t most) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == suffix) files.emplace_back(entry.last_write_time(error), entry.path());
  std::ranges::sort(files, std::greater());
  for (std::size_t i = most; i < files.size(); ++i) fs::remove(files[i].second, error);
}

}  // namespace

std::string fingerprint(const TflGraph& graph) {
  std::string rows;
  const auto list = [](const auto& values) { return fmt::format("{}", fmt::join(values, ",")); };
  for (const TflTensor& tensor : graph.tensors) {
    rows += fmt::format("{} {}", name(tensor.dtype), list(tensor.sizes));
    if (tensor.constant) {
      const Tensor dense = tensor.constant->contiguous();
      rows += " " + hash_of({reinterpret_cast<const char*>(dense.data()), dense.bytes()});
    }
    rows += '\n';
  }
  for (const TflNode& node : graph.nodes) {
    rows += fmt::format("{}({})({})", node.builtin, list(node.inputs), list(node.outputs));
    for (const TflOption& option : node.options) rows += fmt::format(" {}={}", option.name, text(option.value));
    rows += '\n';
  }
  for (const auto* ports : {&graph.inputs, &graph.outputs}) {
    for (const Port& port : *ports) rows += fmt::format("{}:{} ", port.name, port.value);
    rows += '\n';
  }
  return hash_of(rows);
}

fs::path StatisticsCache::file_of(const TflGraph& graph, const std::string& how) const {
  return folder_ / (fingerprint(graph) + hash_of(fmt::format("{} {}", how, data_)) + suffix);
}

std::optional<Statistics> StatisticsCache::find(const TflGraph& graph, const std::string& how) const {
  const fs::path file = file_of(graph, how);
  const std::optional<std::string> bytes = read(file);
  const std::optional<Json> value = bytes ? unsealed(*bytes) : std::nullopt;
  if (!value) return std::nullopt;
  Statistics statistics = from_json(*value);
  std::error_code error;
  fs::last_write_time(file, fs::file_time_type::clock::now(), error);
  return statistics;
}

void StatisticsCache::keep(const TflGraph& graph, const std::string& how, const Statistics& statistics) const {
  Json value = {{"format", format}, {"order", statistics.order}};
  for (const char* table : {"offsets", "factors", "tensors", "answers"}) value[table] = Json::array();
  for (const auto& [tensor, answers] : statistics.answers) value["answers"].push_back({tensor, answers});
  for (const auto& [tensor, offsets] : statistics.channels.offsets) value["offsets"].push_back({tensor, offsets});
  for (const auto& [tensor, factors] : statistics.channels.factors) value["factors"].push_back({tensor, factors});
  for (const Histogram& histogram : statistics.tensors) value["tensors"].push_back(to_json(histogram));
  std::error_code error;
  fs::create_directories(folder_, error);
  const fs::path file = file_of(graph, how), temporary = file.string() + fmt::format(".{}", ::getpid());
  std::ofstream stream(temporary, std::ios::binary);
  stream << sealed(value);
  stream.close();
  if (stream)
    fs::rename(temporary, file, error);
  else
    fs::remove(temporary, error);
  remove_oldest(folder_, most_files);
}

}  // namespace wherry
