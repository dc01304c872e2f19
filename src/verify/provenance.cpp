#include "verify/provenance.h"

#include <fmt/format.h>
#include <xxhash.h>
#include <nlohmann/json.hpp>

namespace wherry {

namespace {

// The shortest digits that are these floats.
nlohmann::ordered_json shortest(const std::vector<float>& values) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const float value : values) out.push_back(std::stod(fmt::format("{}", value)));
  return out;
}

}  // namespace

std::string to_json_text(const Provenance& p) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const Provenance::Layer& layer : p.layers) {
    nlohmann::ordered_json row{layer.tensor, layer.name, layer.order};
    if (!layer.factors.empty() || !layer.offsets.empty())
      row.push_back({{"factors", shortest(layer.factors)}, {"offsets", shortest(layer.offsets)}});
    layers.push_back(std::move(row));
  }
  nlohmann::ordered_json json{{"generator", p.generator}, {"source", p.source}, {"source_hash", p.source_hash},
                              {"precision", p.precision}, {"io", p.io},         {"ports", p.ports},
                              {"layers", layers}};
  if (!p.preprocess.empty()) json["preprocess"] = nlohmann::ordered_json::parse(p.preprocess);
  return json.dump();
}

std::optional<Provenance> parse_provenance(std::string_view text) {
  const nlohmann::json j = nlohmann::json::parse(text, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  try {
    Provenance p{j.at("generator"),
                 j.at("source"),
                 j.at("source_hash"),
                 j.at("precision"),
                 j.at("io"),
                 j.contains("preprocess") ? j.at("preprocess").dump() : "",
                 j.at("ports").get<std::map<std::string, std::vector<int>>>(),
                 {}};
    for (const nlohmann::json& layer : j.at("layers")) {
      p.layers.push_back({layer.at(0), layer.at(1), layer.at(2).get<std::vector<int>>()});
      if (layer.size() < 4) continue;
      p.layers.back().factors = layer.at(3).at("factors").get<std::vector<float>>();
      p.layers.back().offsets = layer.at(3).at("offsets").get<std::vector<float>>();
    }
    return p;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::string hash_bytes(std::string_view bytes) { return fmt::format("xxh3:{:016x}", XXH3_64bits(bytes.data(), bytes.size())); }

}  // namespace wherry
