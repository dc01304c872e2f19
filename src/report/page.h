// A self-contained HTML page from parts: no script, no file beside it, light and dark.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace wherry {

class Page {
 public:
  explicit Page(std::string title) : title_(std::move(title)) {}

  void heading(const std::string& text);
  void paragraph(const std::string& text);
  // Cells are text; columns behind the first are aligned to the right.
  void table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows);
  // Horizontal bars with their names and values, the longest for the greatest value; `unit` stands behind a value.
  void bars(const std::vector<std::pair<std::string, double>>& values, const std::string& unit);
  struct Card {
    std::string jpeg;  // the picture's bytes
    std::vector<std::string> lines;
  };
  void cards(const std::vector<Card>& cards);
  std::string html() const;

 private:
  std::string title_, body_;
};

std::string escaped(const std::string& text);  // & < > "
std::string base64(const std::string& bytes);  // RFC 4648, padded

}  // namespace wherry
