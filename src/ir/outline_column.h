// A column: one value for each instance, which one or more arguments of a block's layers have in common.
#pragma once

#include "ir/outline_merge.h"

#include <string>
#include <utility>
#include <vector>

namespace wherry::outlining {

struct Column {
  std::string meaning;  // only arguments of one meaning share a column
  Values values;
  std::vector<std::pair<std::size_t, std::string>> slots = {};  // line and argument
  std::string name = {};
  int rank = 3;                          // where it stands among the parameters
  bool required = false;                 // a number of channels: every instance says it
  std::optional<std::size_t> base = {};  // it is that column times `factor` (negative: divided by)
  std::int64_t factor = 0;

  void add(std::size_t line, const Slot& slot);
  bool has(const std::string& argument) const;
  // No instance has another value there, and some has the same; only a column that may be extended lacks values that `other` has.
  bool agrees(const Values& other, bool may_extend) const;
};

std::string meaning_of(const std::string& argument);  // "channels", "kernel", else the argument itself
int rank_of(const Column& column);

bool same_everywhere(const Values& values);     // where there are any
Attr usual(const Values& values);               // the most frequent one
std::vector<Attr> known(const Values& values);  // Needs: no holes

// b is a * factor, or a // -factor for a negative one.
bool is_multiple(const Attr& a, const Attr& b, std::int64_t factor);
// The factor of at least 2 for which is_multiple holds exactly; 0: none.
std::int64_t factor_between(const std::optional<Attr>& a, const std::optional<Attr>& b);

const Slot* find_slot(const Line& line, const std::string& argument);
std::string identifier(const std::string& text);  // "downsample.0" → "downsample_0", "0" → "layer_0"

}  // namespace wherry::outlining
