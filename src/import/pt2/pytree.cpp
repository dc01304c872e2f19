#include "import/pt2/pytree.h"

#include "base/diagnostics.h"

#include <fmt/format.h>

namespace wherry::pt2 {

namespace {

constexpr int deepest = 64;

class LeafNames {
 public:
  LeafNames(const Archive& archive, const Program& program, const char* field) : archive_(archive), program_(program), field_(field) {}

  std::vector<std::string> inputs(const Json& tree) {  // (arguments, keyword arguments)
    std::size_t index = 0;
    const std::vector<Json> sides = children(tree);
    if (sides.size() != 2) return {};
    for (const Json& child : children(sides[0])) {
      if (index >= program_.argument_names.size()) return {};
      walk(child, std::string(program_.argument_names[index++]), 0);
    }
    walk(sides[1], "", 0);
    return std::move(names_);
  }

  std::vector<std::string> outputs(const Json& tree) {
    const std::vector<std::string> keys = keys_of(tree);
    const std::vector<Json> items = children(tree);
    if (tree["type"].is_null()) return {"output"};
    if (keys.size() == items.size())
      walk(tree, "", 0);
    else
      for (std::size_t i = 0; i < items.size(); ++i) walk(items[i], fmt::format("output_{}", i), 0);
    return std::move(names_);
  }

 private:
  static std::vector<Json> children(const Json& tree) {
    std::vector<Json> list;
    tree["children_spec"].each_item([&](const Json& child) { list.push_back(child); });
    return list;
  }

  // The names of a dictionary's or named tuple's members; empty for other kinds.
  std::vector<std::string> keys_of(const Json& tree) {
    if (tree["type"].is_null() || tree["context"].is_null()) return {};
    const std::string context(tree["context"].text());
    if (!context.starts_with('[') && !context.starts_with('{') && !context.starts_with('"')) return {};
    const JsonDocument& document = document_of(context);
    const Json root = document.root();
    std::vector<std::string> keys;
    if (context.starts_with('"')) {
      const auto it = program_.namedtuples.find(root.text());
      if (it != program_.namedtuples.end()) keys.assign(it->second.begin(), it->second.end());
      return keys;
    }
    const std::optional<Json> list = context.starts_with('[') ? std::optional(root) : root.find("dict_context");
    if (list)
      list->each_item([&](const Json& key) { keys.push_back(key.is_text() ? std::string(key.text()) : std::to_string(key.integer())); });
    return keys;
  }

  void walk(const Json& tree, const std::string& prefix, int depth) {
    if (depth > deepest) tree.wrong("nests too deeply");
    if (tree["type"].is_null()) return names_.push_back(prefix);
    const std::vector<Json> items = children(tree);
    const std::vector<std::string> keys = keys_of(tree);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string key = keys.size() == items.size() ? keys[i] : std::to_string(i);
      walk(items[i], prefix.empty() ? key : prefix + "." + key, depth + 1);
    }
  }

  const JsonDocument& document_of(const std::string& text) {
    return documents_.emplace_back(archive_, field_, OwnedBytes{std::as_bytes(std::span(text)), nullptr});
  }

  const Archive& archive_;
  const Program& program_;
  const char* field_;
  std::deque<JsonDocument> documents_;
  std::vector<std::string> names_;
};

template <class F>
std::vector<std::string> leaf_names(const Archive& archive, const Program& program, std::string_view spec, const char* field, F read) {
  if (spec.empty()) return {};
  const JsonDocument document(archive, field, {std::as_bytes(std::span(spec)), nullptr});
  std::vector<Json> parts;  // [version, tree]
  document.root().each_item([&](const Json& part) { parts.push_back(part); });
  if (parts.size() != 2 || parts[0].integer() != 1) document.wrong("is a nesting of an unknown version");
  LeafNames names(archive, program, field);
  return read(names, parts[1]);
}

}  // namespace

std::vector<std::string> input_names(const Archive& archive, const Program& program) {
  return leaf_names(archive, program, program.in_spec, "in_spec", [](LeafNames& names, const Json& tree) { return names.inputs(tree); });
}

std::vector<std::string> output_names(const Archive& archive, const Program& program) {
  return leaf_names(archive, program, program.out_spec, "out_spec", [](LeafNames& names, const Json& tree) { return names.outputs(tree); });
}

}  // namespace wherry::pt2
