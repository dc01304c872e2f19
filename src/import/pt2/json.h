// A JSON document of an archive, read with complaints (E104) that name the document and the field.
#pragma once

#include "import/archive.h"

#include <simdjson.h>

#include <optional>

namespace wherry::pt2 {

class Json;

class JsonDocument {
 public:
  JsonDocument(const Archive& archive, std::string name, const OwnedBytes& bytes);
  Json root() const;
  [[noreturn]] void wrong(const std::string& what) const;

 private:
  std::string title_;
  simdjson::dom::parser parser_;
  simdjson::dom::element root_;
};

// A value in a document; `name` is the field it was found under. A wrong kind or a missing field is E104.
class Json {
 public:
  Json(const JsonDocument& document, simdjson::dom::element element, std::string_view name)
      : document_(&document), element_(element), name_(name) {}

  Json operator[](std::string_view key) const;
  std::optional<Json> find(std::string_view key) const;  // nullopt also when it is null
  bool is_null() const { return element_.is_null(); }
  bool is_text() const { return element_.is_string(); }
  std::string_view text() const { return get<std::string_view>("a string"); }
  std::int64_t integer() const { return get<std::int64_t>("an int"); }
  bool boolean() const { return get<bool>("true or false"); }
  double number() const;  // also "Infinity", "-Infinity" and "NaN"

  template <class F>
  void each_item(F f) const {
    for (const simdjson::dom::element item : get<simdjson::dom::array>("a list")) f(Json(*document_, item, name_));
  }
  template <class F>
  void each_member(F f) const {
    for (const auto [key, value] : get<simdjson::dom::object>("an object")) f(key, Json(*document_, value, key));
  }
  // The one member of an object that is a tagged union: {"as_int": 3}.
  std::pair<std::string_view, Json> tagged() const;
  [[noreturn]] void wrong(const std::string& what) const;

 private:
  template <class T>
  T get(const char* wanted) const {
    T value;
    if (element_.get(value) != simdjson::SUCCESS) wrong(std::string("is not ") + wanted);
    return value;
  }
  const JsonDocument* document_;
  simdjson::dom::element element_;
  std::string_view name_;
};

}  // namespace wherry::pt2
