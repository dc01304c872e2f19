// Small text helpers shared by every folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wherry {

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
bool is_identifier(std::string_view text);  // [A-Za-z_][A-Za-z0-9_]*

// The candidate nearest to `word` by edit distance, or "" when none is near enough to be what was meant.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// "; did you mean 'conv2d'?" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

std::string human_bytes(double bytes);  // "17.4 MB" (decimal units)
std::string human_count(double count);  // "4.31 M"

}  // namespace wherry
