// A block's columns: which of its arguments go together, and which follow from others.
#pragma once

#include "ir/outline_column.h"

#include <map>

namespace wherry::outlining {

class Columns {
 public:
  explicit Columns(Template& block);

  std::vector<Column> all;
  std::optional<std::size_t> in, out;  // the channels that go into the block, and those that come out of it

  std::optional<std::size_t> of(std::size_t line, const std::string& argument) const;
  std::optional<std::size_t> kernel_of(std::size_t line) const;
  std::string expression(std::size_t column) const;  // "$mid", "$mid * 4"; Needs: names
  void write_expressions() const;                    // into the template's slots; Needs: names

 private:
  struct Place {
    std::size_t column;
    bool half = false;
  };
  void collect(bool always);
  bool is_half_of_kernel(std::size_t line, Slot& slot);
  std::optional<std::size_t> agreeing(const Slot& slot, bool may_extend) const;
  void fill_holes(Column& column) const;
  bool takes_block_input(std::size_t line) const;
  void find_ends();
  void find_multiples();
  void express(Column& column, std::size_t base) const;

  Template& block_;
  const std::size_t count_;
  std::map<Slot*, Place> places_;
};

}  // namespace wherry::outlining
