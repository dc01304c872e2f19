#include "ir/attr.h"

#include <fmt/format.h>

#include <cmath>

namespace wherry {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

std::string number_text(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::string out = fmt::format("{}", value);  // the shortest text that reads back to the same double
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  const std::size_t e = out.find('e');  // YAML 1.2 floats want a point: 1e-05 → 1.0e-05
  if (e != std::string::npos && out.find('.') == std::string::npos) out.insert(e, ".0");
  return out;
}

template <class List, class Each>
std::string list_text(const List& list, Each each) {
  std::string out = "[";
  for (std::size_t i = 0; i < list.size(); ++i) out += (i ? ", " : "") + each(list[i]);
  return out + "]";
}

std::size_t fixed_length(AttrKind kind) {
  switch (kind) {
    case AttrKind::ints1: return 1;
    case AttrKind::ints2: return 2;
    case AttrKind::ints3: return 3;
    default: return 0;
  }
}

}  // namespace

std::string text(const Attr& attr) {
  return std::visit(Overloaded{
                        [](None) { return std::string("null"); },
                        [](bool b) { return std::string(b ? "true" : "false"); },
                        [](std::int64_t i) { return std::to_string(i); },
                        [](double d) { return number_text(d); },
                        [](const std::string& s) { return s; },
                        [](const Ints& v) { return list_text(v, [](std::int64_t i) { return std::to_string(i); }); },
                        [](const Floats& v) { return list_text(v, number_text); },
                        [](DType d) { return std::string(name(d)); },
                        [](const Strings& v) { return list_text(v, [](const std::string& s) { return s; }); },
                    },
                    attr);
}

std::string_view name(AttrKind kind) {
  switch (kind) {
    case AttrKind::boolean: return "true or false";
    case AttrKind::integer: return "an int";
    case AttrKind::number: return "a number";
    case AttrKind::string: return "a word";
    case AttrKind::ints: return "a list of ints";
    case AttrKind::ints1: return "an int";
    case AttrKind::ints2: return "an int or two ints";
    case AttrKind::ints3: return "an int or three ints";
    case AttrKind::numbers: return "a list of numbers";
    case AttrKind::dtype: return "a data type";
    case AttrKind::strings: return "a list of words";
  }
  return "";
}

std::optional<Attr> coerce(const Attr& attr, AttrKind kind) {
  const auto* integer = std::get_if<std::int64_t>(&attr);
  switch (kind) {
    case AttrKind::boolean: return std::holds_alternative<bool>(attr) ? std::optional(attr) : std::nullopt;
    case AttrKind::integer: return integer ? std::optional(attr) : std::nullopt;
    case AttrKind::number:
      if (integer) return static_cast<double>(*integer);
      return std::holds_alternative<double>(attr) ? std::optional(attr) : std::nullopt;
    case AttrKind::string: return std::holds_alternative<std::string>(attr) ? std::optional(attr) : std::nullopt;
    case AttrKind::ints:
    case AttrKind::ints1:
    case AttrKind::ints2:
    case AttrKind::ints3: {
      const std::size_t length = fixed_length(kind);
      if (integer) return Ints(length ? length : 1, *integer);
      const auto* list = std::get_if<Ints>(&attr);
      if (!list) return std::nullopt;
      if (length > 1 && list->size() == 1) return Ints(length, (*list)[0]);
      // Twice the length: paddings of both ends of each axis. Operators that take no such list refuse it in infer.
      return length == 0 || list->size() == length || list->size() == 2 * length ? std::optional(attr) : std::nullopt;
    }
    case AttrKind::numbers: {
      if (integer) return Floats{static_cast<double>(*integer)};
      if (const auto* number = std::get_if<double>(&attr)) return Floats{*number};
      if (const auto number = coerce(attr, AttrKind::number)) return Floats{std::get<double>(*number)};
      if (const auto* list = std::get_if<Ints>(&attr)) return Floats(list->begin(), list->end());
      return std::holds_alternative<Floats>(attr) ? std::optional(attr) : std::nullopt;
    }
    case AttrKind::dtype: {
      if (const auto* word = std::get_if<std::string>(&attr)) {
        const std::optional<DType> dtype = parse_dtype(*word);
        return dtype ? std::optional<Attr>(*dtype) : std::nullopt;
      }
      return std::holds_alternative<DType>(attr) ? std::optional(attr) : std::nullopt;
    }
    case AttrKind::strings: return std::holds_alternative<Strings>(attr) ? std::optional(attr) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace wherry
