#include "ir/text/faults.h"

#include "ir/text/place.h"

#include <fmt/format.h>

namespace wherry {

Origin origin_of(const Model& model, const Block* block) {
  if (block && block->text_lines) return {block->file.string(), block->text_lines.get()};
  return {model.file.string(), &model.text_lines};
}

void TextFaults::add(std::string code, std::string message, const Origin& origin, int line, int column, std::string next, std::string at) {
  add({.code = std::move(code), .message = std::move(message), .at = std::move(at), .next = std::move(next)}, origin, line, column);
}

void TextFaults::add(Diagnostic diagnostic, const Origin& origin, int line, int column) {
  if (!said_.insert(fmt::format("{}:{}:{}:{}:{}", diagnostic.code, origin.file, line, column, diagnostic.message)).second) return;
  if (line > 0) diagnostic.place = place_in(origin.file, *origin.lines, line, column);
  diagnostics_.add(std::move(diagnostic));
  ++count_;
}

}  // namespace wherry
