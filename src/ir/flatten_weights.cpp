#include "ir/flatten_weights.h"

#include "base/text.h"

#include <fmt/format.h>

namespace wherry::flattening {

namespace {

constexpr std::size_t most_listed = 20;  // weights missing or left over, before the rest is only counted
constexpr std::int64_t most_initialised = std::int64_t{1} << 30;

bool fits(const Type& found, const Type& wanted) {
  return found.shape == wanted.shape && (found.dtype == wanted.dtype || (is_float(found.dtype) && is_float(wanted.dtype)));
}

}  // namespace

// Zeros without memory.
ValueId WeightSource::stand_in(const Type& type) {
  static const std::byte zero[16] = {};
  return graph_.add_constant(Tensor(type.dtype, sizes(type.shape), Sizes(type.shape.size()), zero, nullptr), {});
}

ValueId WeightSource::mismatch(const Need& need, const Type& found) {
  faults_.add({.code = "E403",
               .message = fmt::format("weight '{}' is {}, its layer needs {}", need.key, text(found), text(need.type)),
               .at = need.path,
               .next = "correct the layer's hyperparameters, or load the weights of this model"},
              need.origin, need.line, need.column);
  return stand_in(need.type);
}

ValueId WeightSource::get(const Need& need, const std::function<Tensor()>& make) {
  if (const auto known = constants_.find(need.key); known != constants_.end()) {
    const Type& type = graph_.type(known->second);
    return fits(type, need.type) ? known->second : mismatch(need, Type(type));
  }
  ValueId& id = constants_[need.key];
  if (!options_.weights) return id = graph_.add_constant(make(), need.key);
  const auto it = options_.weights->find(need.key);
  if (it == options_.weights->end()) {
    missing_.push_back(need);
    return id = stand_in(need.type);
  }
  if (!fits(it->second.type(), need.type)) return id = mismatch(need, it->second.type());
  return id = graph_.add_constant(it->second, need.key);
}

void WeightSource::check_shape(const Shape& shape) const {
  if (is_left_out(shape)) return;
  for (const Dim& d : shape)
    if (!d.known() || d.size() < 0) throw TypeFault{"E503", fmt::format("a weight of shape {} cannot be", text(shape))};
  if (!options_.weights && element_count(shape).size() > most_initialised)
    throw TypeFault{"E503", fmt::format("a weight of shape {} is too large to make", text(shape))};
}

void WeightSource::list_missing(const std::string& source) {
  if (missing_.empty()) return;
  std::vector<std::string> unused;
  for (const auto& [key, tensor] : *options_.weights)
    if (!constants_.count(key)) unused.push_back(key);
  const std::string lacks = source.empty() ? "the weights lack" : fmt::format("'{}' lacks", source);
  for (std::size_t i = 0; i < missing_.size(); ++i) {
    const Need& need = missing_[i];
    if (i == most_listed)
      return faults_.add("E401", fmt::format("{} more weights are missing", missing_.size() - i), need.origin, 0, 0,
                         "these may be the weights of another model");
    faults_.add("E401", fmt::format("{} '{}': {}{}", lacks, need.key, text(need.type), did_you_mean(need.key, unused)), need.origin,
                need.line, need.column, {}, need.path);
  }
}

void WeightSource::list_leftover() {
  std::vector<std::string> left;
  for (const auto& [key, tensor] : *options_.weights)
    if (!constants_.count(key) && !key.ends_with("num_batches_tracked")) left.push_back(key);
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (i == most_listed) return faults_.add("E402", fmt::format("{} more weights are left over", left.size() - i), {}, 0, 0);
    faults_.add("E402", fmt::format("no layer uses the weight '{}': {}", left[i], text(options_.weights->at(left[i]).type())), {}, 0, 0,
                "add its layer, or remove it from the weights");
  }
}

}  // namespace wherry::flattening
