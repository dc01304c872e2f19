#include "report/page.h"

#include <fmt/format.h>

#include <cmath>

namespace wherry {

namespace {

constexpr const char* style = R"(
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #6a7078; --line: #d9dce1; --paper: #fff; --bar: #3b74b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa1aa; --line: #34383e; --paper: #16181b; --bar: #6ea3dd; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, td.name { overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: right; padding: .3rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 500; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; font-size: 13px; }
.card img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
.card div { padding: .1rem .6rem; overflow-wrap: anywhere; } .card div:last-child { padding-bottom: .5rem; }
.bars { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr max-content; gap: 1px .8rem; font-size: 12px; align-items: center; }
.bars i { display: block; height: .7em; background: var(--bar); border-radius: 0 2px 2px 0; min-width: 1px; }
.bars b { font-weight: 400; text-align: right; font-variant-numeric: tabular-nums; }
)";

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string base64(const std::string& bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) three = three << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? digits[three >> (18U - 6U * k) & 63U] : '=';
  }
  return out;
}

void Page::heading(const std::string& text) { body_ += fmt::format("<h2>{}</h2>\n", escaped(text)); }

void Page::paragraph(const std::string& text) { body_ += fmt::format("<p>{}</p>\n", escaped(text)); }

void Page::table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows) {
  body_ += "<table>\n<tr>";
  for (const std::string& cell : head) body_ += fmt::format("<th>{}</th>", escaped(cell));
  for (const std::vector<std::string>& row : rows) {
    body_ += "</tr>\n<tr>";
    for (const std::string& cell : row) body_ += fmt::format("<td>{}</td>", escaped(cell));
  }
  body_ += "</tr>\n</table>\n";
}

void Page::bars(const std::vector<std::pair<std::string, double>>& values, const std::string& unit) {
  double most = 0;
  for (const auto& [name, value] : values) most = std::max(most, value);
  body_ += "<div class=\"bars\">\n";
  for (const auto& [name, value] : values)
    body_ += fmt::format("<span>{}</span><i style=\"width:{:.1f}%\"></i><b>{:.1f} {}</b>\n", escaped(name),
                         most > 0 ? 100 * std::max(value, 0.0) / most : 0.0, value, escaped(unit));
  body_ += "</div>\n";
}

void Page::cards(const std::vector<Card>& cards) {
  body_ += "<div class=\"cards\">\n";
  for (const Card& card : cards) {
    body_ += fmt::format("<div class=\"card\"><img alt=\"\" src=\"data:image/jpeg;base64,{}\">", base64(card.jpeg));
    for (const std::string& line : card.lines) body_ += fmt::format("<div>{}</div>", escaped(line));
    body_ += "</div>\n";
  }
  body_ += "</div>\n";
}

std::string Page::html() const {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n<h1>{0}</h1>\n{2}</html>\n",
      escaped(title_), style, body_);
}

}  // namespace wherry
