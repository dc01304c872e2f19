#include "data/table.h"

#include "base/files.h"
#include "base/text.h"
#include "data/images.h"

namespace wherry {

namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return std::string(text);
}

// RFC 4180's quotes: "a, b", "" for a quote inside.
std::vector<std::string> commas(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      cells.back() += line[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

std::vector<std::string> words(const std::string& line) {
  if (line.find('\t') != std::string::npos) return split(line, '\t');
  const std::size_t space = line.find_last_of(' ');
  if (space == std::string::npos || is_any_image_name(line)) return {line};
  return {line.substr(0, space), line.substr(space + 1)};
}

}  // namespace

Table read_table(const std::filesystem::path& file) {
  std::string text = read_text(file);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  Table table;
  const std::string suffix = file.extension().string();
  for (const std::string& raw : split(text, '\n')) {
    const std::string line = trimmed(raw);
    if (line.empty() || line.front() == '#') continue;
    std::vector<std::string> cells = suffix == ".csv" ? commas(line) : suffix == ".tsv" ? split(line, '\t') : words(line);
    for (std::string& cell : cells) cell = trimmed(cell);
    table.rows.push_back(std::move(cells));
  }
  return table;
}

}  // namespace wherry
