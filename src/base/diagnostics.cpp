#include "base/diagnostics.h"

#include "base/check.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace wherry {

const std::vector<CodeMeaning>& all_codes() {
  static const std::vector<CodeMeaning> codes = {
#define CODE(code, meaning, next) {#code, meaning, next},
#include "base/codes.def"
#undef CODE
  };
  return codes;
}

void Diagnostics::add(Diagnostic diagnostic) {
  const auto& codes = all_codes();
  const auto code = std::find_if(codes.begin(), codes.end(), [&](const CodeMeaning& c) { return c.code == diagnostic.code; });
  WHERRY_CHECK(code != codes.end(), "diagnostic code {} is not in codes.def", diagnostic.code);
  if (diagnostic.next.empty()) diagnostic.next = code->next;
  if (diagnostic.severity == Severity::error) ++errors_;
  all_.push_back(std::move(diagnostic));
}

void Diagnostics::throw_if_errors() {
  if (has_errors()) throw Failure(all_);
}

Failure::Failure(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
  for (const Diagnostic& d : diagnostics_) text_ += render(d);
}

void fail(Diagnostic diagnostic) {
  Diagnostics all;
  all.add(std::move(diagnostic));
  throw Failure(all.all());
}

std::string render(const Diagnostic& d, bool colour) {
  const bool error = d.severity == Severity::error;
  const char* strong = colour ? (error ? "\033[1;31m" : "\033[1;33m") : "";
  const char* plain = colour ? "\033[0m" : "";
  std::string out = fmt::format("{}{} {}:{} {}\n", strong, error ? "error" : "warning", d.code, plain, d.message);
  if (!d.place.file.empty()) {
    out += fmt::format("  --> {}:{}:{}\n", d.place.file, d.place.line, d.place.column);
    if (!d.place.text.empty()) {
      const std::string number = std::to_string(d.place.line);
      const auto indent = static_cast<std::size_t>(std::max(d.place.column - 1, 0));
      out += fmt::format("   {} | {}\n", number, d.place.text);
      out += fmt::format("   {} | {}{}{}{}\n", std::string(number.size(), ' '), std::string(indent, ' '), strong,
                         std::string(static_cast<std::size_t>(std::max(d.place.length, 1)), '^'), plain);
    }
  }
  if (!d.at.empty()) out += fmt::format("  at   {}\n", d.at);
  if (!d.in.empty()) out += fmt::format("  in   {}\n", d.in);
  if (!d.next.empty()) out += fmt::format("  try  {}\n", d.next);
  return out;
}

nlohmann::ordered_json to_json(const Diagnostic& d) {
  nlohmann::ordered_json j = {{"code", d.code}, {"severity", d.severity == Severity::error ? "error" : "warning"}, {"message", d.message}};
  if (!d.at.empty()) j["at"] = d.at;
  if (!d.in.empty()) j["in"] = d.in;
  if (!d.next.empty()) j["next"] = d.next;
  if (!d.place.file.empty()) j["place"] = {{"file", d.place.file}, {"line", d.place.line}, {"column", d.place.column}};
  return j;
}

}  // namespace wherry
