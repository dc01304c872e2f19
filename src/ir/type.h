// Shapes whose sizes may be symbolic, and the type of a value: "float32[batch, 3, 224, 224]".
#pragma once

#include "ir/dtype.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wherry {

// One size: a number, or an expression over named sizes ("batch", "(h + 1) // 2") kept as canonical text.
class Dim {
 public:
  Dim(std::int64_t size = 0) : size_(size) {}
  static Dim symbol(std::string expression);

  bool known() const { return expression_.empty(); }
  std::int64_t size() const;  // Needs: known()
  const std::string& expression() const { return expression_; }
  std::string text() const;
  bool operator==(const Dim&) const = default;

 private:
  std::int64_t size_ = 0;
  std::string expression_;
};
Dim operator+(const Dim& a, const Dim& b);
Dim operator-(const Dim& a, const Dim& b);
Dim operator*(const Dim& a, const Dim& b);
Dim floor_div(const Dim& a, const Dim& b);
Dim ceil_div(const Dim& a, const Dim& b);

using Shape = std::vector<Dim>;
using Sizes = std::vector<std::int64_t>;

std::string text(const Shape& shape);  // "[1, 3, 224, 224]"
bool is_static(const Shape& shape);
bool is_empty(const Shape& shape);  // whether one of its sizes is known to be zero
Sizes sizes(const Shape& shape);    // Needs: is_static
Shape to_shape(const Sizes& sizes);
Dim element_count(const Shape& shape);
std::int64_t element_count(const Sizes& sizes);
Sizes contiguous_strides(const Sizes& sizes);  // in elements, last axis 1

struct Type {
  DType dtype = DType::float32;
  Shape shape;
  bool operator==(const Type&) const = default;
};
std::string text(const Type& type);  // "float32[1, 3, 224, 224]"
std::optional<Type> parse_type(std::string_view text);

}  // namespace wherry
