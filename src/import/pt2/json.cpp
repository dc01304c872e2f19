#include "import/pt2/json.h"

#include "base/diagnostics.h"

#include <fmt/format.h>

namespace wherry::pt2 {

JsonDocument::JsonDocument(const Archive& archive, std::string name, const OwnedBytes& bytes)
    : title_(fmt::format("entry '{}' of {}", name, archive.title())) {
  const auto error = parser_.parse(bytes.text().data(), bytes.bytes.size(), true).get(root_);
  if (error) wrong(fmt::format("the JSON does not parse: {}", simdjson::error_message(error)));
}

Json JsonDocument::root() const { return {*this, root_, ""}; }

void JsonDocument::wrong(const std::string& what) const {
  fail({.code = "E104", .message = fmt::format("{}: {}", title_, what), .next = "export it again with torch.export.save of torch 2.13"});
}

void Json::wrong(const std::string& what) const { document_->wrong(fmt::format("field '{}' {}", name_, what)); }

Json Json::operator[](std::string_view key) const {
  simdjson::dom::element value;
  if (get<simdjson::dom::object>("an object").at_key(key).get(value)) wrong(fmt::format("lacks its field '{}'", key));
  return {*document_, value, key};
}

std::optional<Json> Json::find(std::string_view key) const {
  simdjson::dom::element value;
  if (get<simdjson::dom::object>("an object").at_key(key).get(value) || value.is_null()) return std::nullopt;
  return Json(*document_, value, key);
}

double Json::number() const {
  double value = 0;
  if (element_.get(value) == simdjson::SUCCESS) return value;
  std::string_view word;
  if (element_.get(word) == simdjson::SUCCESS) {
    if (word == "Infinity") return std::numeric_limits<double>::infinity();
    if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  wrong("is not a number");
}

std::pair<std::string_view, Json> Json::tagged() const {
  const auto object = get<simdjson::dom::object>("an object");
  if (object.size() != 1) wrong("is not an object with one member");
  const auto member = *object.begin();
  return {member.key, Json(*document_, member.value, member.key)};
}

}  // namespace wherry::pt2
