#include "import/pt2/aliases.h"

#include "ir/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace wherry::pt2 {

namespace {

constexpr std::string_view reshapes[] = {"view",           "reshape",    "_unsafe_view", "flatten",    "unflatten",
                                         "squeeze",        "unsqueeze",  "view_as",      "reshape_as", "ravel",
                                         "_reshape_alias", "atleast_1d", "atleast_2d",   "atleast_3d"};
constexpr std::string_view transposes[] = {"transpose", "swapaxes", "swapdims", "t", "numpy_T", "mT", "adjoint"};
constexpr std::string_view splits[] = {"split",       "split_with_sizes", "chunk",  "tensor_split", "unbind",
                                       "hsplit",      "vsplit",           "dsplit", "unsafe_split", "unsafe_split_with_sizes",
                                       "unsafe_chunk"};
constexpr std::string_view others[] = {
    "permute",  "slice",  "narrow",     "select", "expand", "expand_as",    "broadcast_to",    "movedim",           "moveaxis",
    "diagonal", "unfold", "as_strided", "real",   "imag",   "view_as_real", "view_as_complex", "broadcast_tensors", "meshgrid"};
constexpr std::string_view uncertain[] = {"reshape", "flatten",         "reshape_as", "ravel",         "contiguous",     "to",
                                          "type_as", "channel_shuffle", "einsum",     "pixel_shuffle", "pixel_unshuffle"};
// Their result is the argument itself.
constexpr std::string_view same[] = {"alias",   "detach",          "detach_",       "lift_fresh",           "positive",
                                     "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"};

template <class List>
bool has(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

std::optional<std::int64_t> integer(const ForeignNode& node, std::string_view name) {
  const Attr* attr = node.attr(name);
  const auto* value = attr ? std::get_if<std::int64_t>(attr) : nullptr;
  return value ? std::optional(*value) : std::nullopt;
}

Ints open_sizes(const Shape& shape) {
  Ints sizes;
  for (const Dim& d : shape) sizes.push_back(d.known() ? d.size() : -1);
  return sizes;
}

// A range of one axis that a window shows.
struct Range {
  std::size_t axis = 0;
  std::int64_t start = 0, length = 0;
  bool drops_axis = false;  // select, unbind
};

std::optional<Range> range_of(const ForeignNode& how, std::size_t output, const Shape& parent) {
  const std::string_view op = base_name(how.target);
  const std::int64_t rank = static_cast<std::int64_t>(parent.size());
  std::int64_t dim = integer(how, "dim").value_or(0);
  if (dim < 0) dim += rank;
  if (dim < 0 || dim >= rank || !parent[static_cast<std::size_t>(dim)].known()) return std::nullopt;
  Range range{.axis = static_cast<std::size_t>(dim)};
  const std::int64_t size = parent[range.axis].size();
  const auto from_end = [&](std::int64_t at) { return std::clamp(at < 0 ? at + size : at, std::int64_t{0}, size); };
  if (op == "slice") {
    if (integer(how, "step").value_or(1) != 1) return std::nullopt;
    range.start = from_end(integer(how, "start").value_or(0));
    range.length = std::max<std::int64_t>(from_end(integer(how, "end").value_or(size)) - range.start, 0);
    return range;
  }
  if (op == "narrow" || op == "select") {
    const auto start = integer(how, op == "select" ? "index" : "start");
    if (!start) return std::nullopt;
    range.start = from_end(*start);
    range.length = op == "select" ? 1 : integer(how, "length").value_or(0);
    range.drops_axis = op == "select";
    return range;
  }
  if (!has(splits, op) || output >= how.output_types.size() || op == "hsplit" || op == "vsplit" || op == "dsplit") return std::nullopt;
  range.drops_axis = op == "unbind";
  for (std::size_t i = 0; i <= output; ++i) {
    range.start += range.length;
    const Shape& shape = how.output_types[i].shape;
    if (!range.drops_axis && (shape.size() != parent.size() || !shape[range.axis].known())) return std::nullopt;
    range.length = range.drops_axis ? 1 : shape[range.axis].size();
  }
  return range;
}

std::optional<Ints> inverse_permutation(const ForeignNode& how, std::size_t rank) {
  const Attr* attr = how.attr("dims");
  const auto* dims = attr ? std::get_if<Ints>(attr) : nullptr;
  if (!dims || dims->size() != rank) return std::nullopt;
  Ints inverse(rank, -1);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t dim = (*dims)[i] < 0 ? (*dims)[i] + static_cast<std::int64_t>(rank) : (*dims)[i];
    if (dim < 0 || dim >= static_cast<std::int64_t>(rank)) return std::nullopt;
    inverse[static_cast<std::size_t>(dim)] = static_cast<std::int64_t>(i);
  }
  return inverse;
}

}  // namespace

std::string_view base_name(std::string_view target) {
  const std::size_t start = target.find('.');
  if (start == std::string_view::npos) return target;
  return target.substr(start + 1, target.find('.', start + 1) - start - 1);
}

Aliasing aliasing(std::string_view target) {
  if (!target.starts_with("aten.")) return Aliasing::copy;
  const std::string_view op = base_name(target);
  if (has(uncertain, op)) return Aliasing::maybe;
  return has(same, op) || has(reshapes, op) || has(transposes, op) || has(splits, op) || has(others, op) ? Aliasing::view : Aliasing::copy;
}

Aliases::Id Aliases::own(ValueId value, Origin origin, std::string name) {
  storages_.push_back({origin, std::move(name)});
  tensors_.push_back({.storage = storages_.size() - 1, .value = value});
  return static_cast<Id>(tensors_.size()) - 1;
}

Aliases::Id Aliases::view(Id of, ForeignNode how, std::size_t output, ValueId value, bool maybe) {
  const std::size_t storage = tensors_[index(of)].storage;
  tensors_.push_back({.storage = storage,
                      .parent = of,
                      .how = std::move(how),
                      .output = output,
                      .maybe = maybe,
                      .value = value,
                      .version = storages_[storage].version});
  return static_cast<Id>(tensors_.size()) - 1;
}

std::vector<Aliases::Id> Aliases::windows(Id id) const {
  std::vector<Id> chain;
  for (; id >= 0; id = tensors_[index(id)].parent) chain.push_back(id);
  std::reverse(chain.begin(), chain.end());
  return chain;
}

bool Aliases::may_overlap(Id a, Id b) const {
  if (tensors_[index(a)].storage != tensors_[index(b)].storage) return false;
  const std::vector<Id> left = windows(a), right = windows(b);
  std::size_t i = 0;
  while (i < left.size() && i < right.size() && left[i] == right[i]) ++i;
  if (i == 0 || i == left.size() || i == right.size()) return true;
  const Shape& parent = builder_.type(tensors_[index(left[i - 1])].value).shape;  // a write changes values, not shapes
  const Tensor &x = tensors_[index(left[i])], &y = tensors_[index(right[i])];
  const auto p = range_of(x.how, x.output, parent), q = range_of(y.how, y.output, parent);
  return !p || !q || p->axis != q->axis || (p->start < q->start + q->length && q->start < p->start + p->length);
}

bool Aliases::same_window(Id a, Id b) const {
  const std::vector<Id> left = windows(a), right = windows(b);
  const auto same = [&](Id p, Id q) {
    if (p == q) return true;
    const Tensor &x = tensors_[index(p)], &y = tensors_[index(q)];
    if (x.parent < 0 || y.parent < 0 || x.maybe || y.maybe || x.output != y.output || x.how.target != y.how.target) return false;
    const auto equal = [](const ForeignArg& r, const ForeignArg& s) { return r.name == s.name && r.value == s.value; };
    return std::equal(x.how.args.begin() + 1, x.how.args.end(), y.how.args.begin() + 1, y.how.args.end(), equal);
  };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), same);
}

ValueId Aliases::read(Id id) {
  const Storage& storage = storages_[tensors_[index(id)].storage];
  const auto refuse = [&](const ForeignNode& how) {
    fail({.code = "E204",
          .message = fmt::format("'{}' gives a view or a copy, and what it is a view of is written to in between", how.target),
          .at = where(how),
          .next = "call .clone() before the write, or write the layer without it"});
  };
  if (storage.doubt) refuse(*storage.doubt);
  if (tensors_[index(id)].version == storage.version) return tensors_[index(id)].value;
  if (tensors_[index(id)].maybe) refuse(tensors_[index(id)].how);
  ForeignNode again = tensors_[index(id)].how;
  again.args.at(0).value = read(tensors_[index(id)].parent);
  const std::vector<ValueId> outputs = call_(again);
  Tensor& tensor = tensors_[index(id)];
  tensor.value = outputs.at(tensor.output);
  tensor.version = storages_[tensor.storage].version;
  return tensor.value;
}

void Aliases::write(Id id, ValueId value, const ForeignNode& node) {
  Tensor* tensor = &tensors_[index(id)];
  Storage& storage = storages_[tensor->storage];
  if (storage.origin != Origin::computed) {
    const bool input = storage.origin == Origin::input;
    fail({.code = "E204",
          .message = fmt::format("'{}' changes {} '{}' of the model", node.target, input ? "the input" : "the weight", storage.name),
          .at = where(node),
          .next = input ? "call .clone() on the input first"
                        : "call model.eval() before torch.export.export, or keep the state outside of the model"});
  }
  std::vector<std::pair<Id, ValueId>> fresh = {{id, value}};
  while (tensor->parent >= 0) {
    if (tensor->maybe) {  // from here on the old windows may or may not see it
      storage.doubt = tensor->how;
      storages_.push_back({Origin::computed, ""});
      tensors_[index(id)] = {.storage = storages_.size() - 1, .value = value};
      return;
    }
    const Id parent = tensor->parent;
    const ValueId before = read(parent);
    fresh.emplace_back(parent, scatter(before, tensors_[index(fresh.back().first)], fresh.back().second, node));
    tensor = &tensors_[index(parent)];
  }
  Storage& written = storages_[tensor->storage];
  ++written.version;
  for (const auto& [window, now] : fresh) tensors_[index(window)].value = now, tensors_[index(window)].version = written.version;
}

// The parent's value after `value` was written into the window on it.
ValueId Aliases::scatter(ValueId parent, const Tensor& window, ValueId value, const ForeignNode& node) {
  const ForeignNode how = window.how;
  const Type type = builder_.type(parent);
  const std::string_view op = base_name(how.target);
  const auto call = [&](const char* target, std::vector<ForeignArg> args) {
    return call_({.target = target, .args = std::move(args), .path = node.path, .source = node.source, .output_types = {}}).at(0);
  };
  if (has(same, op)) return value;
  if (op == "slice" && builder_.type(value) == type && integer(how, "step").value_or(1) == 1) return value;
  if (has(reshapes, op) && std::count_if(type.shape.begin(), type.shape.end(), [](const Dim& d) { return !d.known(); }) <= 1)
    return call_({.target = "aten.reshape.default",
                  .args = {{"self", value}, {"shape", Attr(open_sizes(type.shape))}},
                  .path = node.path,
                  .source = node.source,
                  .output_types = {type}})
        .at(0);
  if (has(transposes, op)) {
    const std::int64_t rank = static_cast<std::int64_t>(type.shape.size());
    if (rank < 2) return value;
    const bool named = integer(how, "dim0").has_value() && integer(how, "dim1").has_value();
    if (named || rank == 2 || op == "mT")
      return call("aten.transpose.int", {{"self", value},
                                         {"dim0", Attr(integer(how, "dim0").value_or(rank - 2))},
                                         {"dim1", Attr(integer(how, "dim1").value_or(rank - 1))}});
  }
  if (op == "permute")
    if (const auto inverse = inverse_permutation(how, type.shape.size()))
      return call("aten.permute.default", {{"self", value}, {"dims", Attr(*inverse)}});
  if (op == "slice" && integer(how, "step").value_or(1) > 1) {
    std::vector<ForeignArg> args = how.args;
    args[0].value = parent;
    args.push_back({"src", value});
    return call("aten.slice_scatter.default", std::move(args));
  }
  if (const auto range = range_of(how, window.output, type.shape)) {
    const Attr dim = static_cast<std::int64_t>(range->axis);
    const std::int64_t size = type.shape[range->axis].size(), end = range->start + range->length;
    const auto piece = [&](std::int64_t from, std::int64_t to) {
      return call("aten.slice.Tensor", {{"self", parent}, {"dim", dim}, {"start", Attr(from)}, {"end", Attr(to)}});
    };
    std::vector<ValueId> pieces;
    if (range->start > 0) pieces.push_back(piece(0, range->start));
    pieces.push_back(range->drops_axis ? call("aten.unsqueeze.default", {{"self", value}, {"dim", dim}}) : value);
    if (end < size) pieces.push_back(piece(end, size));
    return pieces.size() == 1 ? pieces[0] : call("aten.cat.default", {{"tensors", pieces}, {"dim", dim}});
  }
  fail({.code = "E204",
        .message =
            fmt::format("'{}' writes into what '{}' shows of {}; that has no equal without writes", node.target, how.target, text(type)),
        .at = where(node),
        .next = "write the layer without the assignment: torch.where, torch.cat or a copy"});
}

}  // namespace wherry::pt2
