// "split:1": a layer and one of its outputs.
#pragma once

#include <string>
#include <string_view>

namespace wherry {

struct Reference {
  std::string layer;
  std::string output;  // "": the first
};

inline Reference parse_reference(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {std::string(text), {}};
  return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

}  // namespace wherry
