#include "ir/text/write_tree.h"

#include "base/text.h"
#include "ir/text/tree.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace wherry {

namespace {

constexpr std::size_t widest = 140;
constexpr char soft_break = '\x01';  // between items: a space, or a new line where the row grows too long

using Path = std::vector<std::string_view>;

// What stands on lines of its own; all else is one row.
bool is_structure(const Path& path) {
  if (path.empty()) return true;
  const std::string_view top = path[0];
  if (path.size() == 1) return top == "blocks" || top == "model" || top == "preprocess" || top == "quantization";
  if (path.size() == 2 && top == "quantization") return path[1] == "activations" || path[1] == "layers";
  if (path.size() == 2) return top == "blocks" || (top == "model" && path[1] == "layers");
  return path.size() == 3 && top == "blocks" && path[2] == "layers";
}

bool has_items(const TextValue& v) { return v.kind == TextValue::list ? !v.items.empty() : !v.members.empty(); }
bool is_block(const TextValue& v, const Path& path) {
  return (v.kind == TextValue::map || v.kind == TextValue::list) && has_items(v) && is_structure(path);
}

bool is_word(std::string text) {  // what other YAML readers take for true, false or nothing
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"yes", "no", "on", "off", "y", "n", "true", "false", "null", "~"})
    if (text == word) return true;
  return false;
}

bool is_plain(const std::string& text) {
  if (text.empty() || plain_scalar(text).kind != TextValue::string || is_word(text)) return false;
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const char first = text[0];
  const bool minus = first == '-' && text.size() > 1 && (alnum(text[1]) || text[1] == '$' || text[1] == '(');
  const bool starts = alnum(first) || first == '$' || first == '_' || first == '(' || first == '/' || first == '.' || first == '+' ||
                      minus || static_cast<unsigned char>(first) >= 0x80;
  if (!starts || text.back() == ' ' || text.back() == ':') return false;
  if (std::isdigit(static_cast<unsigned char>(first)) != 0 && text.find_first_of(":-") != std::string::npos) return false;  // times, dates
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || std::string_view(",[]{}?\"\\`").find(c) != std::string_view::npos)
      return false;
  return text.find(": ") == std::string::npos && text.find(" #") == std::string::npos;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte == 0x7F)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_scalar(const TextValue& v) {
  switch (v.kind) {
    case TextValue::boolean: return v.boolean_value ? "true" : "false";
    case TextValue::integer: return std::to_string(v.integer_value);
    case TextValue::number: return std::isfinite(v.number_value) ? text(Attr(v.number_value)) : "\"" + text(Attr(v.number_value)) + "\"";
    case TextValue::string: return json_string(v.string_value);
    default: return "null";
  }
}

struct Style {
  bool json;
  std::string key(const std::string& name) const {
    if (json) return json_string(name);
    const bool simple = std::all_of(name.begin(), name.end(),
                                    [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-'; });
    return simple && !name.empty() && name[0] != '-' && name[0] != '.' ? name : quoted(name);
  }
  std::string scalar(const TextValue& v) const { return json ? json_scalar(v) : yaml_scalar(v); }

  void flow(const TextValue& v, std::string& out) const {
    if (v.kind != TextValue::list && v.kind != TextValue::map) {
      out += scalar(v);
      return;
    }
    const bool list = v.kind == TextValue::list;
    out += list ? '[' : '{';
    for (std::size_t i = 0; i < (list ? v.items.size() : v.members.size()); ++i) {
      if (i > 0) out += ',', out += soft_break;
      if (!list) out += key(v.members[i].first) + ": ";
      flow(list ? v.items[i] : v.members[i].second, out);
    }
    out += list ? ']' : '}';
  }

  // `v` in one row that continues `line`; further lines begin with `indent` spaces.
  std::string row(std::string line, const TextValue& v, std::size_t indent) const {
    std::string all, out;
    flow(v, all);
    for (const std::string& part : split(all, soft_break)) {
      const bool begins = line.back() == ' ';
      if (!begins && line.size() + 1 + part.size() + 2 > widest) {
        out += line + "\n";
        line = std::string(indent, ' ') + part;
      } else {
        line += (begins ? "" : " ") + part;
      }
    }
    return out + line;
  }
};

// Rows of a map stand under each other where their names differ little in length.
std::size_t aligned_width(const TextValue& map, const Path& path) {
  if (path.back() != "layers") return 0;
  std::size_t shortest = SIZE_MAX, longest = 0;
  for (const auto& [name, value] : map.members) shortest = std::min(shortest, name.size()), longest = std::max(longest, name.size());
  return longest - shortest <= 8 ? longest + 1 : 0;
}

class YamlWriter {
 public:
  std::string out;

  void block(const TextValue& v, Path& path, std::size_t indent) {
    const std::string margin(indent, ' ');
    for (const TextValue& item : v.items) {
      const bool single = item.kind == TextValue::map && item.members.size() == 1;
      const std::string lead = margin + "- " + (single ? style.key(item.members[0].first) + ": " : "");
      out += style.row(lead, single ? item.members[0].second : item, indent + 4) + "\n";
    }
    const std::size_t width = v.kind == TextValue::map && !path.empty() ? aligned_width(v, path) : 0;
    for (const auto& [name, value] : v.members) {
      path.push_back(name);
      std::string lead = margin + style.key(name) + ":";
      if (is_block(value, path)) {
        out += lead + "\n";
        block(value, path, indent + 2);
      } else {
        if (lead.size() < indent + width) lead.resize(indent + width, ' ');
        out += style.row(lead + " ", value, indent + 4) + "\n";
      }
      path.pop_back();
    }
  }

 private:
  const Style style{false};
};

class JsonWriter {
 public:
  std::string out;

  void block(const TextValue& v, Path& path, std::size_t indent) {
    const bool list = v.kind == TextValue::list;
    const std::size_t count = list ? v.items.size() : v.members.size();
    out += list ? "[\n" : "{\n";
    for (std::size_t i = 0; i < count; ++i) {
      const TextValue& value = list ? v.items[i] : v.members[i].second;
      const std::string lead = std::string(indent + 2, ' ') + (list ? "" : style.key(v.members[i].first) + ": ");
      path.push_back(list ? "" : std::string_view(v.members[i].first));
      if (is_block(value, path)) {
        out += lead;
        block(value, path, indent + 2);
      } else {
        out += style.row(lead, value, indent + 4);
      }
      out += i + 1 < count ? ",\n" : "\n";
      path.pop_back();
    }
    out += std::string(indent, ' ') + (list ? "]" : "}");
  }

 private:
  const Style style{true};
};

}  // namespace

std::string yaml_scalar(const TextValue& v) {
  if (v.kind == TextValue::number) return text(Attr(v.number_value));
  if (v.kind == TextValue::string) return is_plain(v.string_value) ? v.string_value : quoted(v.string_value);
  return json_scalar(v);
}

std::string yaml_text(const TextValue& root) {
  YamlWriter writer;
  Path path;
  writer.block(root, path, 0);
  return writer.out;
}

std::string json_text(const TextValue& root) {
  JsonWriter writer;
  Path path;
  writer.block(root, path, 0);
  return writer.out + "\n";
}

}  // namespace wherry
