#include "ir/text/place.h"

#include "base/text.h"

#include <algorithm>

namespace wherry {

namespace {

constexpr std::size_t longest_shown = 200;

std::size_t token_length(std::string_view rest) {
  if (rest.empty() || rest[0] == '{' || rest[0] == '[') return 1;
  if (rest[0] == '"' || rest[0] == '\'') {
    for (std::size_t i = 1; i < rest.size(); ++i) {
      if (rest[0] == '"' && rest[i] == '\\')
        ++i;
      else if (rest[i] == rest[0])
        return i + 1;
    }
    return rest.size();
  }
  std::size_t end = 0;
  for (; end < rest.size(); ++end) {
    const char c = rest[end];
    const bool before_space = end + 1 == rest.size() || rest[end + 1] == ' ';
    if (c == ',' || c == '}' || c == ']' || (c == ':' && before_space) || (c == ' ' && end + 1 < rest.size() && rest[end + 1] == '#'))
      break;
  }
  while (end > 1 && rest[end - 1] == ' ') --end;
  return std::max<std::size_t>(end, 1);
}

}  // namespace

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines = split(text, '\n');
  for (std::string& line : lines)
    if (!line.empty() && line.back() == '\r') line.pop_back();
  return lines;
}

Place place_in(const std::string& file, const std::vector<std::string>& lines, int line, int column) {
  Place place{.file = file, .line = line, .column = column};
  if (line < 1 || column < 1 || static_cast<std::size_t>(line) > lines.size()) return place;
  const std::string& whole = lines[static_cast<std::size_t>(line) - 1];
  const std::size_t from = std::min(static_cast<std::size_t>(column) - 1, whole.size());
  const std::size_t length = token_length(std::string_view(whole).substr(from));
  if (from + length > longest_shown) return place;
  place.length = static_cast<int>(length);
  place.text = whole.size() > longest_shown ? whole.substr(0, longest_shown - 4) + " ..." : whole;
  std::replace(place.text.begin(), place.text.end(), '\t', ' ');
  return place;
}

}  // namespace wherry
