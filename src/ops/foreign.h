// What convert functions share: reading a foreign node's arguments, or saying what is wrong with them (E203).
#pragma once

#include "ir/builder.h"

#include <algorithm>

namespace wherry::ops {

[[noreturn]] void refuse(const ForeignNode& node, std::string message);  // E203 at the node

bool given(const ForeignNode& node, std::string_view name);  // present and not None
double number(const ForeignNode& node, std::string_view name, std::optional<double> fallback = {});
std::int64_t integer(const ForeignNode& node, std::string_view name, std::optional<std::int64_t> fallback = {});
bool flag(const ForeignNode& node, std::string_view name, bool fallback);
std::string word(const ForeignNode& node, std::string_view name, std::string fallback);
Ints ints(const ForeignNode& node, std::string_view name, std::optional<Ints> fallback = {});  // an int counts as a list of one
// One for each of `count` axes, where one number stands for all.
Ints for_axes(const ForeignNode& node, std::string_view name, std::size_t count, std::optional<Ints> fallback = {});
Attr optional_number(const ForeignNode& node, std::string_view name);  // as an attribute that may be None
Attr optional_integer(const ForeignNode& node, std::string_view name);
Attr optional_ints(const ForeignNode& node, std::string_view name);
std::optional<DType> dtype(const ForeignNode& node, std::string_view name);
std::optional<DType> stated_dtype(const ForeignNode& node);  // what the argument `dtype` says, else the file of the result

// The tensors and numbers behind `names` as values of one data type. Numbers become scalar constants.
std::vector<ValueId> promoted(Builder& b, const ForeignNode& node, std::initializer_list<std::string_view> names);
std::vector<ValueId> promoted(Builder& b, const ForeignNode& node, std::span<const ForeignArg> args);
ValueId cast(Builder& b, ValueId value, DType dtype);  // itself where it is of that type
// The target's shape as `reshape` wants it: what the foreign file says of its result, with -1 for the one symbolic size.
Ints shape_of_result(const ForeignNode& node, std::string_view argument);

// An operator's name as a template argument: torch maps name the convert function they share as convert_all<"add">.
template <std::size_t N>
struct Word {
  char text[N];
  constexpr Word(const char (&letters)[N]) { std::copy(letters, letters + N, text); }
  constexpr operator std::string_view() const { return {text, N - 1}; }
};

// `self` and `other`, tensors or numbers, brought to one type.
template <Word op>
std::vector<ValueId> convert_pair(Builder& b, const ForeignNode& node) {
  return {b(op, promoted(b, node, {"self", "other"}))};
}

}  // namespace wherry::ops
