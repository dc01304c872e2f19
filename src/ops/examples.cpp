#include "ops/examples.h"

#include "base/check.h"
#include "base/text.h"

#include <charconv>

namespace wherry {

namespace {

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// The parts between commas that no bracket encloses.
std::vector<std::string_view> parts_of(std::string_view list) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && (list[i] == '[' || list[i] == '(')) ++depth;
    if (i < list.size() && (list[i] == ']' || list[i] == ')')) --depth;
    if (i < list.size() && (list[i] != ',' || depth > 0)) continue;
    if (const std::string_view part = trim(list.substr(start, i - start)); !part.empty()) parts.push_back(part);
    start = i + 1;
  }
  return parts;
}

template <class T>
std::optional<T> read_number(std::string_view word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() ? std::optional(value) : std::nullopt;
}

Attr read_scalar(std::string_view word) {
  if (word == "null") return None{};
  if (word == "true" || word == "false") return word == "true";
  if (const auto integer = read_number<std::int64_t>(word)) return *integer;
  if (const auto number = read_number<double>(word)) return *number;
  return std::string(word);
}

Attr read_attr(std::string_view word) {
  if (!word.starts_with('[')) return read_scalar(word);
  Ints ints;
  Floats floats;
  Strings strings;
  for (const std::string_view part : parts_of(word.substr(1, word.size() - 2))) {
    const Attr item = read_scalar(part);
    if (const auto* i = std::get_if<std::int64_t>(&item))
      ints.push_back(*i), floats.push_back(static_cast<double>(*i));
    else if (const auto* d = std::get_if<double>(&item))
      floats.push_back(*d);
    else
      strings.emplace_back(part);
  }
  if (!strings.empty()) return strings;
  if (floats.size() > ints.size()) return floats;
  return ints;
}

// Marsaglia's xorshift64*: the same numbers on every machine.
class Random {
 public:
  explicit Random(std::string_view seed) {
    for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 1099511628211U;
    state_ |= 1;
  }
  double unit() {  // [0, 1)
    state_ ^= state_ >> 12U, state_ ^= state_ << 25U, state_ ^= state_ >> 27U;
    return static_cast<double>((state_ * 2685821657736338717U) >> 11U) / 9007199254740992.0;
  }

 private:
  std::uint64_t state_ = 14695981039346656037U;
};

Tensor fill(const Type& type, const std::function<double()>& next) {
  Tensor values = Tensor::allocate(DType::float64, sizes(type.shape));
  for (double& v : values.mutable_as<double>()) v = next();
  return values.cast(type.dtype);
}

Tensor in_range(const Type& type, double low, double high, Random& random) {
  const bool whole = !is_float(type.dtype);
  return fill(type, [&] {
    const double at = low + (high - low + (whole ? 1 : 0)) * random.unit();
    return whole ? std::min(std::floor(at), high) : at;
  });
}

// "float32[1, 3] in 0..1" or "int64[2] = [0, 1]".
Tensor read_tensor(std::string_view spec, Random& random) {
  const std::size_t range = spec.find(" in "), equal = spec.find('=');
  const std::optional<Type> type = parse_type(trim(spec.substr(0, std::min(range, equal))));
  WHERRY_CHECK(type && is_static(type->shape), "example input '{}'", spec);
  if (equal != std::string_view::npos) {
    const Attr list = read_attr(trim(spec.substr(equal + 1)));
    std::optional<Attr> numbers = coerce(list, AttrKind::numbers);
    WHERRY_CHECK(numbers, "example elements '{}'", spec);
    const Floats& values = std::get<Floats>(*numbers);
    WHERRY_CHECK(static_cast<std::int64_t>(values.size()) == element_count(sizes(type->shape)), "example elements '{}'", spec);
    std::size_t at = 0;
    return fill(*type, [&] { return values[at++]; });
  }
  double low = is_float(type->dtype) ? -2 : 0, high = type->dtype == DType::boolean ? 1 : is_float(type->dtype) ? 2 : 9;
  if (range != std::string_view::npos) {
    const std::string_view ends = trim(spec.substr(range + 4));
    const std::size_t dots = ends.find("..");
    WHERRY_CHECK(dots != std::string_view::npos, "example range '{}'", spec);
    low = read_number<double>(ends.substr(0, dots)).value(), high = read_number<double>(ends.substr(dots + 2)).value();
  }
  return in_range(*type, low, high, random);
}

// A weight's elements: what divides or scales lies above zero.
Tensor weight(std::string_view name, const Shape& shape, Random& random) {
  const Type type{DType::float32, shape};
  if (name.find("var") != std::string_view::npos) return in_range(type, 0.5, 1.5, random);
  return in_range(type, -0.5, 0.5, random);
}

class Reader {
 public:
  Reader(const OpTable& ops, std::string_view text) : ops_(ops), random_(text) {
    const std::size_t open = text.find('(');
    WHERRY_CHECK(open != std::string_view::npos && text.ends_with(')'), "example '{}'", text);
    op_ = ops.find(text.substr(0, open));
    WHERRY_CHECK(op_, "example '{}' names no operator", text);
    for (const std::string_view part : parts_of(text.substr(open + 1, text.size() - open - 2))) {
      const std::size_t colon = part.find(':');
      WHERRY_CHECK(colon != std::string_view::npos, "'{}' in example '{}'", part, text);
      const bool fresh = arguments_.emplace(trim(part.substr(0, colon)), trim(part.substr(colon + 1))).second;
      WHERRY_CHECK(fresh, "'{}' twice in example '{}'", part, text);
    }
    example_.text = text;
  }

  Example read() {
    read_attrs();
    read_hyper();
    read_inputs();
    Builder builder(example_.graph, ops_);
    const std::vector<ValueId> outputs = builder.node(*op_, node_.inputs, node_.attrs, std::string(op_->name));
    for (std::size_t i = 0; i < outputs.size(); ++i) example_.graph.outputs.push_back({std::to_string(i), outputs[i]});
    WHERRY_CHECK(arguments_.empty(), "{} has no input, attribute or hyperparameter '{}' (example '{}')", op_->name,
                 arguments_.begin()->first, example_.text);
    return std::move(example_);
  }

 private:
  std::optional<std::string_view> take(std::string_view name) {
    const auto it = arguments_.find(name);
    if (it == arguments_.end()) return std::nullopt;
    const std::string_view value = it->second;
    arguments_.erase(it);
    return value;
  }

  template <class Def>
  std::optional<Attr> read_value(const Def& def, bool or_none, bool or_string) {
    const std::optional<std::string_view> word = take(def.name);
    if (!word) return def.fallback;
    const Attr attr = read_attr(*word);
    if ((or_none && std::holds_alternative<None>(attr)) || (or_string && std::holds_alternative<std::string>(attr))) return attr;
    std::optional<Attr> value = coerce(attr, def.kind);
    WHERRY_CHECK(value, "{}: {} in example '{}'", def.name, *word, example_.text);
    return value;
  }

  // A name that is an attribute and a hyperparameter (stride of a pooling follows kernel_size) is read as the attribute.
  void read_attrs() {
    node_.op = op_;
    for (const AttrDef& def : op_->attrs) {
      std::optional<Attr> value = read_value(def, def.or_none, def.or_string);
      WHERRY_CHECK(value, "example '{}' lacks {}", example_.text, def.name);
      node_.attrs.push_back(std::move(*value));
    }
  }

  void read_hyper() {
    for (const HyperDef& def : op_->hyper)
      if (std::optional<Attr> value = read_value(def, false, false)) hyper_.emplace(def.name, std::move(*value));
  }

  ValueId input(std::string_view name, std::string_view spec) {
    if (const Attr number = read_scalar(spec); !std::holds_alternative<std::string>(number)) {
      const std::optional<Attr> value =
          std::holds_alternative<bool>(number) ? std::optional<Attr>(std::get<bool>(number) ? 1.0 : 0.0) : coerce(number, AttrKind::number);
      const bool fraction = std::holds_alternative<double>(number) && !is_float(scalar_dtype_);
      return example_.graph.add_constant(Tensor::scalar(std::get<double>(value.value()), fraction ? DType::float32 : scalar_dtype_), {});
    }
    const bool constant = spec.starts_with("const ");
    Tensor tensor = read_tensor(constant ? spec.substr(6) : spec, random_);
    if (constant) return example_.graph.add_constant(std::move(tensor), fmt::format("{}.{}", op_->name, name));
    const ValueId id = example_.graph.add_value({std::string(name), tensor.type(), {}});
    example_.graph.inputs.push_back({std::string(name), id});
    example_.inputs.push_back(std::move(tensor));
    return id;
  }

  void read_inputs() {
    for (const Input& in : op_->inputs)  // numbers take the type of the first tensor
      if (const auto it = arguments_.find(in.name); it != arguments_.end())
        if (const std::size_t open = it->second.find('['); open != std::string_view::npos && open > 0) {
          std::string_view word = it->second.substr(0, open);
          if (word.starts_with("const ")) word.remove_prefix(6);
          scalar_dtype_ = parse_dtype(word).value();
          break;
        }
    std::vector<Shape> shapes = op_->parameters ? op_->parameters(hyper_, node_) : std::vector<Shape>{};
    std::size_t parameter = 0;
    for (const Input& in : op_->inputs) {
      const std::optional<std::string_view> spec = take(in.name);
      if (in.role == Role::parameter || in.role == Role::optional_parameter) {
        WHERRY_CHECK(parameter < shapes.size() || spec, "{} has no shape for {}", op_->name, in.name);
        const Shape shape = parameter < shapes.size() ? shapes[parameter] : Shape{};
        ++parameter;
        const bool left_out = shape.size() == 1 && shape[0] == Dim(-1);
        if (spec)
          node_.inputs.push_back(input(in.name, *spec));
        else if (left_out)
          node_.inputs.push_back(absent);
        else
          node_.inputs.push_back(example_.graph.add_constant(weight(in.name, shape, random_), fmt::format("{}.{}", op_->name, in.name)));
      } else if (in.role == Role::variadic) {
        WHERRY_CHECK(spec && spec->starts_with('['), "example '{}' lacks the list {}", example_.text, in.name);
        int i = 0;
        for (const std::string_view part : parts_of(spec->substr(1, spec->size() - 2)))
          node_.inputs.push_back(input(fmt::format("{}{}", in.name, i++), part));
      } else {
        WHERRY_CHECK(spec || in.role == Role::optional, "example '{}' lacks {}", example_.text, in.name);
        node_.inputs.push_back(spec ? input(in.name, *spec) : absent);
      }
    }
  }

  const OpTable& ops_;
  const OpDef* op_ = nullptr;
  std::map<std::string_view, std::string_view> arguments_;
  Random random_;
  Example example_;
  Node node_;
  Hyper hyper_;
  DType scalar_dtype_ = DType::float32;
};

}  // namespace

Example parse_example(const OpTable& ops, std::string_view text) { return Reader(ops, text).read(); }

}  // namespace wherry
