#include "ir/text/tree.h"

#include "ir/text/place.h"

#include <fmt/format.h>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <limits>
#include <set>
#include <sstream>

namespace wherry {

namespace {

constexpr std::size_t deepest = 100;

struct Malformed {
  std::string message, next;
  YAML::Mark mark;
};

std::optional<double> special_number(std::string_view text) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (text == ".inf" || text == "+.inf" || text == ".Inf" || text == ".INF") return infinity;
  if (text == "-.inf" || text == "-.Inf" || text == "-.INF") return -infinity;
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

template <class T>
bool whole(std::string_view text, T& value, auto... how) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, how...);
  return error == std::errc() && end == text.data() + text.size();
}

TextValue of_number(double value) { return TextValue::of(value); }

// Collects the parser's events into a tree. A map's key waits in its frame until its value is complete.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& file, const std::vector<std::string>& lines, Diagnostics& diagnostics)
      : file_(file), lines_(lines), diagnostics_(diagnostics) {}

  std::optional<TextValue> result;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (result) throw Malformed{"a second document begins here", "keep one document in a file", mark};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse(mark, "", anchor);
    add(TextValue{}, mark, "");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse(mark, "", 1); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    refuse(mark, tag, anchor);
    const std::optional<double> special = special_number(value);  // quoted too: JSON has no other way to say it
    add(tag == "!" && !special ? TextValue::of(value) : plain_scalar(value), mark, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, TextValue::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, TextValue::map);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    TextValue value;
    std::optional<std::string> key;
    YAML::Mark key_mark;
    std::set<std::string, std::less<>> keys;
  };

  static void refuse(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0)
      throw Malformed{"anchors and aliases (&, *) are not part of the format", "make the repeated part a block with parameters", mark};
    if (!tag.empty() && tag != "?" && tag != "!") throw Malformed{"tags (!) are not part of the format", "write the plain value", mark};
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, TextValue::Kind kind) {
    refuse(mark, tag, anchor);
    if (stack_.size() == deepest) throw Malformed{"lists and maps nest deeper than 100", "write it flatter", mark};
    if (!stack_.empty() && stack_.back().value.kind == TextValue::map && !stack_.back().key)
      throw Malformed{"a key must be a word, not a list or a map", "check the braces and the indentation", mark};
    Frame frame;
    frame.value.kind = kind;
    frame.value.line = mark.line + 1, frame.value.column = mark.column + 1;
    stack_.push_back(std::move(frame));
  }

  void close() {
    TextValue done = std::move(stack_.back().value);
    stack_.pop_back();
    place(std::move(done));
  }

  void add(TextValue value, const YAML::Mark& mark, const std::string& raw) {
    if (!stack_.empty() && stack_.back().value.kind == TextValue::map && !stack_.back().key) {
      Frame& map = stack_.back();
      if (!map.keys.insert(raw).second)
        diagnostics_.add({.code = "E308",
                          .message = "key '" + raw + "' stands twice in this map",
                          .next = "remove or rename one of the two",
                          .place = place_in(file_, lines_, mark.line + 1, mark.column + 1)});
      map.key = raw, map.key_mark = mark;
      return;
    }
    value.line = mark.line + 1, value.column = mark.column + 1;
    place(std::move(value));
  }

  void place(TextValue value) {
    if (stack_.empty()) {
      result = std::move(value);
      return;
    }
    Frame& parent = stack_.back();
    if (parent.value.kind == TextValue::list) {
      parent.value.items.push_back(std::move(value));
      return;
    }
    value.key_line = parent.key_mark.line + 1, value.key_column = parent.key_mark.column + 1;
    parent.value.members.emplace_back(std::move(*parent.key), std::move(value));
    parent.key.reset();
  }

  const std::string& file_;
  const std::vector<std::string>& lines_;
  Diagnostics& diagnostics_;
  std::vector<Frame> stack_;
};

// The code unit behind "\\uXXXX" at `at`, or 0.
unsigned code_unit(std::string_view text, std::size_t at) {
  unsigned unit = 0;
  if (text.substr(at, 2) != "\\u" || text.size() < at + 6) return 0;
  return whole(text.substr(at + 2, 4), unit, 16) ? unit : 0;
}

// JSON writes what lies beyond 16 bits as two escapes, YAML as one: "\\ud83d\\ude00" becomes "\\U0001f600".
std::string without_surrogates(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const unsigned high = code_unit(text, i), low = code_unit(text, i + 6);
    if (high >= 0xD800 && high < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
      out += fmt::format("\\U{:08x}", 0x10000 + ((high - 0xD800) << 10U) + (low - 0xDC00));
      i += 11;
    } else {
      out += text.substr(i, 2);  // an escaped backslash begins no escape
      ++i;
    }
  }
  return out;
}

}  // namespace

TextValue plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return TextValue::of(true);
  if (text == "false" || text == "False" || text == "FALSE") return TextValue::of(false);
  if (const auto special = special_number(text)) return of_number(*special);
  std::string_view digits = text;
  if (digits[0] == '+') digits.remove_prefix(1);
  if (digits.empty() || digits.find_first_of("0123456789") == std::string_view::npos) return TextValue::of(text);
  std::int64_t integer = 0;
  if (whole(digits, integer)) return TextValue::of(integer);
  const bool prefixed = digits.size() > 2 && digits[0] == '0' && digits[2] != '-';
  if (prefixed && digits[1] == 'x' && whole(digits.substr(2), integer, 16)) return TextValue::of(integer);
  if (prefixed && digits[1] == 'o' && whole(digits.substr(2), integer, 8)) return TextValue::of(integer);
  double number = 0;
  if (digits.find_first_not_of("+-0123456789.eE") == std::string_view::npos && whole(digits, number)) return of_number(number);
  return TextValue::of(text);
}

std::optional<TextValue> parse_tree(std::string_view text, const std::string& file, const std::vector<std::string>& lines,
                                    Diagnostics& diagnostics) {
  const auto malformed = [&](const std::string& message, const YAML::Mark& mark, const std::string& next) {
    Place place = mark.is_null() ? Place{.file = file} : place_in(file, lines, mark.line + 1, mark.column + 1);
    diagnostics.add({.code = "E301", .message = message, .next = next, .place = std::move(place)});
  };
  TreeBuilder builder(file, lines, diagnostics);
  try {
    std::istringstream stream(without_surrogates(text));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Malformed& fault) {
    malformed(fault.message, fault.mark, fault.next);
    return std::nullopt;
  } catch (const YAML::Exception& fault) {
    malformed("the text is not well-formed: " + fault.msg, fault.mark, "check the indentation, quotes and brackets before this place");
    return std::nullopt;
  }
  if (!builder.result) malformed("the text is empty", YAML::Mark::null_mark(), "'wherry import' writes a model's text");
  return std::move(builder.result);
}

}  // namespace wherry
