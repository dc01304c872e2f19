#include "verify/provenance.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

namespace wherry {

std::string to_json_text(const Provenance& p) {
  return nlohmann::ordered_json{{"generator", p.generator}, {"source", p.source}, {"source_hash", p.source_hash}, {"precision", p.precision},
                                {"io", p.io}, {"ports", p.ports}, {"orders", p.orders}}
      .dump();
}

std::optional<Provenance> parse_provenance(std::string_view text) {
  const nlohmann::json j = nlohmann::json::parse(text, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  try {
    return Provenance{j.at("generator"), j.at("source"), j.at("source_hash"), j.at("precision"), j.at("io"),
                      j.at("ports").get<std::map<std::string, std::vector<int>>>(), j.at("orders").get<std::map<std::string, std::vector<int>>>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::string hash_bytes(std::string_view bytes) { return fmt::format("xxh3:{:016x}", XXH3_64bits(bytes.data(), bytes.size())); }

}  // namespace wherry
