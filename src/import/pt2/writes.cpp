// The importer's part that gives operators which write in place their meaning without writes.
#include "import/pt2/importer.h"
#include "import/pt2/symbols.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::pt2 {

namespace {

// "aten.relu_.default" → "aten.relu.default".
std::string functional(std::string_view target) {
  const std::string_view op = base_name(target);
  return fmt::format("aten.{}{}", op.substr(0, op.size() - 1), target.substr(5 + op.size()));
}

}  // namespace

bool is_in_place(std::string_view target) {
  const std::string_view op = base_name(target);
  return target.starts_with("aten.") && op.ends_with('_') && !op.ends_with("__") && op != "detach_";
}

// y.add_(x): y gets the value of y + x, in y's own type and shape; the result is a further name of y.
void Importer::run_in_place(Scope& scope, const NodeDef& def, ForeignNode& node, Aliases::Id self) {
  const std::string_view op = base_name(node.target);
  constexpr std::string_view not_writes[] = {"squeeze_", "unsqueeze_", "transpose_",  "t_",         "swapaxes_",     "swapdims_",
                                             "resize_",  "set_",       "as_strided_", "resize_as_", "requires_grad_"};
  if (std::find(std::begin(not_writes), std::end(not_writes), op) != std::end(not_writes))
    fail({.code = "E204",
          .message = fmt::format("'{}' changes a tensor's shape in place", node.target),
          .at = where(node),
          .next = fmt::format("write {}() without the underscore", op.substr(0, op.size() - 1))});
  for (const auto& [name, input] : def.inputs) {
    if (input.kind != Argument::tensor) continue;
    const Aliases::Id operand = lookup(scope, input.name);
    if (!aliases_.same_window(self, operand) && aliases_.may_overlap(self, operand))
      fail({.code = "E204",
            .message = fmt::format("'{}' writes into what its own argument '{}' shows", node.target, name),
            .at = where(node),
            .next = "call .clone() on the argument"});
  }
  const ValueId before = node.value(node.args[0].name);
  const ValueId after = written_value(node, before);
  aliases_.write(self, as_type(node, after, before), node);
  bind(scope, outputs_, {self});
}

// What the operator writes, before it takes the type of what it is written into.
ValueId Importer::written_value(ForeignNode& node, ValueId before) {
  const std::string target = node.target;
  const std::string_view op = base_name(target);
  const DType dtype = builder_.type(before).dtype;
  if (op == "zero_") return builder_.scalar(0, dtype);
  if (op == "copy_" || op == "fill_") {
    const ForeignArg* source = node.args.size() > 1 ? &node.args[1] : nullptr;
    const Attr* number = source ? std::get_if<Attr>(&source->value) : nullptr;
    if (number && std::holds_alternative<bool>(*number)) return builder_.scalar(std::get<bool>(*number) ? 1 : 0, dtype);
    const std::optional<Attr> scalar = number ? coerce(*number, AttrKind::number) : std::nullopt;
    if (scalar) return builder_.scalar(std::get<double>(*scalar), dtype);
    const ValueId value = source ? node.value(source->name) : absent;
    if (value == absent) fail({.code = "E203", .message = fmt::format("'{}' lacks its argument", target), .at = where(node)});
    return value;
  }
  node.target = functional(target);
  if (!ops_.torch(node.target)) node.target = target;
  const std::vector<ValueId> values = call(node);
  node.target = target;
  if (!values.empty() && values[0] != absent) return values[0];
  unknown_.add(graph_, node);
  throw Failure({});
}

// `value` cast and broadcast to the type of `like`.
ValueId Importer::as_type(const ForeignNode& node, ValueId value, ValueId like) {
  const Type type = builder_.type(like);
  const auto step = [&](const char* target, std::vector<ForeignArg> args, Type gives) {
    return checked_call(
               {.target = target, .args = std::move(args), .path = node.path, .source = node.source, .output_types = {std::move(gives)}})
        .at(0);
  };
  if (builder_.type(value).dtype != type.dtype)
    value = step("aten.to.dtype", {{"self", value}, {"dtype", Attr(type.dtype)}}, {type.dtype, builder_.type(value).shape});
  if (same_shape(builder_.type(value).shape, type.shape)) return value;
  if (is_static(type.shape)) return step("aten.expand.default", {{"self", value}, {"size", Attr(wherry::sizes(type.shape))}}, type);
  // Open sizes: a choice between the value and itself, which is broadcast to the shape of the condition.
  const ValueId condition = step("aten.eq.Tensor", {{"self", like}, {"other", like}}, {DType::boolean, type.shape});
  return step("aten.where.self", {{"condition", condition}, {"self", value}, {"other", value}}, type);
}

}  // namespace wherry::pt2
