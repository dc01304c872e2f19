#include "ops/formula.h"

#include "base/check.h"
#include "ops/foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace wherry::ops {

namespace {

using Operand = std::variant<Attr, ValueId>;

bool is_number(const Operand& operand) { return std::holds_alternative<Attr>(operand); }

class Formula {
 public:
  using Named = std::map<std::string, Operand, std::less<>>;

  Formula(Builder& b, const ForeignNode& node, const ForeignMap& map, Named named = {})
      : b_(b), node_(node), map_(map), rest_(map.formula), named_(std::move(named)) {}

  std::vector<ValueId> run() {
    for (std::string_view name; !(name = assigned()).empty(); expect(";")) named_.insert_or_assign(std::string(name), sum());
    std::vector<ValueId> results;
    do results.push_back(tensor(sum()));
    while (take(","));
    broken_unless(rest_.empty());
    refuse_unused();
    return results;
  }

 private:
  // ---- text ----
  void broken_unless(bool holds) const { WHERRY_CHECK(holds, "the formula of {} is broken before '{}'", map_.target, rest_); }
  void skip() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }
  bool take(std::string_view token) {
    skip();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    skip();
    return true;
  }
  void expect(std::string_view token) { broken_unless(take(token)); }
  std::string_view word() {
    skip();
    const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_letter);
    const std::string_view found = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(found.size());
    skip();
    return found;
  }
  std::string_view word_before(std::string_view token) {  // or nothing is taken
    const std::string_view before = rest_;
    if (const std::string_view found = word(); !found.empty() && take(token)) return found;
    rest_ = before;
    return {};
  }
  std::string_view assigned() { return word_before("="); }

  // ---- grammar ----
  Operand sum() {
    Operand left = product();
    for (;;)
      if (take("+"))
        left = pair("add", left, product());
      else if (take("-"))
        left = pair("sub", left, product());
      else
        return left;
  }
  Operand product() {
    Operand left = negation();
    for (;;)
      if (take("*"))
        left = pair("mul", left, negation());
      else if (take("/"))
        left = pair("div", left, negation());
      else
        return left;
  }
  Operand negation() {
    if (!take("-")) return primary();
    const Operand x = primary();
    return is_number(x) ? Operand(computed("mul", -1, value(x))) : Operand(b_("neg", {tensor(x)}));
  }
  Operand primary() {
    if (take("(")) {
      const Operand inner = sum();
      expect(")");
      return inner;
    }
    if (take("[")) {
      Ints list;
      do list.push_back(static_cast<std::int64_t>(value(sum())));
      while (take(","));
      expect("]");
      return Attr(list);
    }
    if (!rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_[0]))) return number_literal();
    if (const std::string_view op = word_before("("); !op.empty()) return call(op);
    return name(word());
  }
  Operand number_literal() {
    double real = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), real);
    broken_unless(error == std::errc{});
    const std::string_view digits = rest_.substr(0, static_cast<std::size_t>(end - rest_.data()));
    rest_.remove_prefix(digits.size());
    skip();
    const bool whole = digits.find_first_of(".e") == std::string_view::npos;
    return whole ? Attr(static_cast<std::int64_t>(real)) : Attr(real);
  }
  Operand name(std::string_view name) {
    broken_unless(!name.empty());
    std::optional<Operand> fallback;
    if (take("|")) fallback = negation();
    if (const auto it = named_.find(name); it != named_.end()) return it->second;
    if (const std::optional<Operand> given = argument(name)) return *given;
    if (fallback) return *fallback;
    if (name == "true" || name == "false") return Attr(name == "true");
    if (name == "none") return Attr(None{});
    if (name == "inf") return Attr(std::numeric_limits<double>::infinity());
    if (const std::optional<DType> dtype = parse_dtype(name)) return Attr(*dtype);
    refuse(node_, fmt::format("'{}' lacks its argument '{}'", node_.target, name));
  }
  std::optional<Operand> argument(std::string_view name) {
    const ForeignArg* arg = node_.find(name);
    if (!arg) return {};
    used_.emplace(name);
    if (const auto* given = std::get_if<ValueId>(&arg->value)) {
      const bool to_float = !node_.output_types.empty() && is_float(node_.output_types[0].dtype) && !is_float(b_.type(*given).dtype);
      return Operand(to_float ? cast(b_, *given, node_.output_types[0].dtype) : *given);
    }
    const Attr& attr = std::get<Attr>(arg->value);
    return std::holds_alternative<None>(attr) ? std::nullopt : std::optional(Operand(attr));
  }

  // ---- meaning ----
  double value(const Operand& number) const {
    const std::optional<Attr> real = is_number(number) ? coerce(std::get<Attr>(number), AttrKind::number) : std::nullopt;
    if (!real) refuse(node_, fmt::format("'{}' has an argument that is no number", node_.target));
    return std::get<double>(*real);
  }
  ValueId tensor(const Operand& operand) {
    if (!is_number(operand)) return std::get<ValueId>(operand);
    const bool whole = std::holds_alternative<std::int64_t>(std::get<Attr>(operand));
    return b_.scalar(value(operand), whole ? DType::int64 : DType::float32);
  }
  std::vector<ValueId> brought_to_one_type(std::span<const Operand> operands) {
    std::vector<ForeignArg> args;
    for (const Operand& operand : operands)
      args.push_back({"", is_number(operand) ? decltype(ForeignArg::value)(std::get<Attr>(operand)) : std::get<ValueId>(operand)});
    return promoted(b_, node_, args);
  }
  Operand pair(std::string_view op, const Operand& x, const Operand& y) {
    if (is_number(x) && is_number(y)) return computed(op, value(x), value(y));
    if (op == "mul" && changes_nothing(x, y)) return y;
    std::vector<ValueId> values = brought_to_one_type(std::array{x, y});
    if (op == "div")
      for (ValueId& v : values)
        if (!is_float(b_.type(v).dtype)) v = cast(b_, v, DType::float32);
    return b_(op, values);
  }
  // A factor that is not given: 1 times a tensor.
  bool changes_nothing(const Operand& factor, const Operand& tensor) const {
    if (!is_number(factor) || value(factor) != 1) return false;
    return std::holds_alternative<std::int64_t>(std::get<Attr>(factor)) || is_float(b_.type(std::get<ValueId>(tensor)).dtype);
  }
  static Attr computed(std::string_view op, double x, double y) {
    const double found = op == "add" ? x + y : op == "sub" ? x - y : op == "mul" ? x * y : x / y;
    return found == std::floor(found) && std::abs(found) < 1e15 ? Attr(static_cast<std::int64_t>(found)) : Attr(found);
  }
  Operand call(std::string_view op) {
    std::vector<Operand> inputs;
    std::vector<NamedAttr> attrs;
    const OpDef* def = b_.ops().find(op);
    while (!take(")")) {
      if (const std::string_view attr = word_before(":"); !attr.empty())
        add_attribute(attrs, *def, attr, sum());
      else
        inputs.push_back(sum());
      take(",");
    }
    if (op == "cast") return cast(b_, tensor(inputs.at(0)), std::get<DType>(attrs.at(0).value));
    return def ? b_(op, values_of(*def, inputs), std::move(attrs)) : composed(op, inputs);
  }
  static void add_attribute(std::vector<NamedAttr>& attrs, const OpDef& def, std::string_view name, const Operand& given) {
    const int index = def.attr_index(name);
    WHERRY_CHECK(index >= 0, "{} has no attribute {}", def.name, name);
    const AttrDef& attr = def.attrs[static_cast<std::size_t>(index)];
    const std::optional<Attr> fitting = coerce(std::get<Attr>(given), attr.kind);
    attrs.push_back({attr.name, fitting.value_or(std::get<Attr>(given))});
  }
  std::vector<ValueId> values_of(const OpDef& def, std::span<const Operand> inputs) {
    const bool by_element = def.layout.kind == LayoutRule::any && inputs.size() > 1;
    if (by_element && def.name != "where") return brought_to_one_type(inputs);
    std::vector<ValueId> values;
    if (by_element) {  // a condition and two that it chooses between
      values = brought_to_one_type(inputs.subspan(1));
      values.insert(values.begin(), tensor(inputs[0]));
    } else {
      for (const Operand& input : inputs) values.push_back(tensor(input));
    }
    return values;
  }
  Operand composed(std::string_view name, std::span<const Operand> inputs) {
    const std::string target = fmt::format("aten.{}.default", name);
    const OpTable::Foreign* meaning = b_.ops().torch(target);
    WHERRY_CHECK(meaning && !meaning->map->formula.empty(), "the formula of {} calls {}, which is unknown", map_.target, name);
    const ForeignNode inner{.target = target, .args = {}, .path = node_.path, .source = node_.source, .output_types = {}};
    Named named{{"self", inputs[0]}};
    if (inputs.size() > 1) named.emplace("other", inputs[1]);
    return Formula(b_, inner, *meaning->map, std::move(named)).run().at(0);
  }

  void refuse_unused() const {
    for (const ForeignArg& arg : node_.args) {
      const Attr* attr = std::get_if<Attr>(&arg.value);
      if (used_.contains(arg.name) || (attr && std::holds_alternative<None>(*attr))) continue;
      const std::string any = "=" + arg.name, only = attr ? fmt::format("{}:{}", any, text(*attr)) : any;
      const std::string pairs = fmt::format(" {} ", map_.pairs);
      if (pairs.find(fmt::format(" {} ", any)) == std::string::npos && pairs.find(fmt::format(" {} ", only)) == std::string::npos)
        refuse(node_, fmt::format("'{}' with '{}'{} is not known", node_.target, arg.name, attr ? " " + text(*attr) : ""));
    }
  }

  Builder& b_;
  const ForeignNode& node_;
  const ForeignMap& map_;
  std::string_view rest_;
  Named named_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

std::vector<ValueId> convert_formula(Builder& b, const ForeignNode& node, const ForeignMap& map) { return Formula(b, node, map).run(); }

}  // namespace wherry::ops
