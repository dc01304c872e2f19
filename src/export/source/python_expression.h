// Values, names and operators' texts as Python writes them.
#pragma once

#include "ir/model.h"
#include "ir/op_def.h"

#include <functional>
#include <map>
#include <set>
#include <string>

namespace wherry::source {

std::string python_string(std::string_view word);  // "same", quoted
std::string python_literal(const Attr& attr);      // True, None, 0.5, "same", (1, 2); a data type is its name, quoted
// A text's value: `$kernel // 2` with parameters as `name` gives them, lists as tuples. Needs: no map.
using NameOf = std::function<std::string(std::string_view)>;
std::string python_value(const TextValue& value, const NameOf& name);

// "downsample.0" → "downsample_0", "0" → "layer_0", "class" → "class_"
std::string python_name(std::string_view text);
std::string class_name(std::string_view text);     // fbnet_a → FbnetA
std::string function_name(std::string_view text);  // IRFBlock → irf_block
bool is_python_word(std::string_view name);        // if, class, None
bool is_reserved(std::string_view name);           // a word of Python, or a built-in that texts use

// Names that are taken; another one is made of a taken one.
class Names {
 public:
  void reserve(const std::string& name) { taken_.insert(name); }
  std::string unique(const std::string& wanted);
  bool free(const std::string& name) const { return !taken_.contains(name) && !is_reserved(name); }

 private:
  std::set<std::string, std::less<>> taken_;
};

// A SourceSlot's text with its holes filled. `hole` gives a name's text, or nothing where it has its default.
using HoleOf = std::function<std::optional<std::string>(std::string_view)>;
// `fallback` gives the default's text for a hole without "?".
std::string filled_slot(std::string_view slot, const HoleOf& hole, const NameOf& fallback);
std::vector<std::string> holes_of(std::string_view slot);

}  // namespace wherry::source
