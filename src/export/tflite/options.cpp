#include "export/tflite/options.h"

#include "base/check.h"
#include "tflite_schema/tflite_model.h"

#include <flatbuffers/minireflect.h>

namespace wherry {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::TypeTable;

// Operators whose table bears another name than theirs.
constexpr std::pair<std::string_view, std::string_view> shared_tables[] = {
    {"AVERAGE_POOL_2D", "Pool2DOptions"},
    {"MAX_POOL_2D", "Pool2DOptions"},
    {"L2_POOL_2D", "Pool2DOptions"},
    {"MEAN", "ReducerOptions"},
    {"SUM", "ReducerOptions"},
    {"REDUCE_MAX", "ReducerOptions"},
    {"REDUCE_MIN", "ReducerOptions"},
    {"REDUCE_PROD", "ReducerOptions"},
    {"REDUCE_ANY", "ReducerOptions"},
    {"REDUCE_ALL", "ReducerOptions"},
    {"MAXIMUM", "MaximumMinimumOptions"},
    {"MINIMUM", "MaximumMinimumOptions"},
    {"L2_NORMALIZATION", "L2NormOptions"},
    {"CONV_3D_TRANSPOSE", "Conv3DOptions"},
};

// "CONV_2D" is what "Conv2DOptions" is for: the same letters but for case, underscores and the ending.
bool is_for(std::string_view table, std::string_view builtin) {
  if (table.ends_with("Options")) table.remove_suffix(7);
  std::size_t i = 0;
  for (const char c : builtin) {
    if (c == '_') continue;
    if (i == table.size() || std::toupper(static_cast<unsigned char>(table[i])) != c) return false;
    ++i;
  }
  return i == table.size();
}

struct Member {
  int type;  // its number in the union
  const TypeTable* fields;
};

template <class Wanted>
std::optional<Member> member(const TypeTable& options, Wanted wanted) {
  for (std::size_t i = 1; i < options.num_elems; ++i)
    if (wanted(options.names[i]))
      return Member{static_cast<int>(options.values ? options.values[i] : static_cast<std::int64_t>(i)),
                    options.type_refs[options.type_codes[i].sequence_ref]()};
  return std::nullopt;
}

const TypeTable* enum_of(const TypeTable& fields, std::size_t field) {
  const auto code = fields.type_codes[field];
  return code.sequence_ref < 0 ? nullptr : fields.type_refs[code.sequence_ref]();
}

std::int64_t enum_value(const TypeTable& words, const Attr& value, const std::string& option) {
  if (const auto* dtype = std::get_if<DType>(&value)) return static_cast<std::int64_t>(tensor_type(*dtype));
  const auto* word = std::get_if<std::string>(&value);
  WHERRY_CHECK(word, "option {} wants a word, not {}", option, text(value));
  for (std::size_t i = 0; i < words.num_elems; ++i)
    if (*word == words.names[i]) return words.values ? words.values[i] : static_cast<std::int64_t>(i);
  WHERRY_CHECK(false, "option {} has no value {}", option, *word);
}

double number(const TypeTable& fields, std::size_t field, const Attr& value, const std::string& option) {
  if (const TypeTable* words = enum_of(fields, field)) return static_cast<double>(enum_value(*words, value, option));
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  const auto* real = std::get_if<double>(&value);
  WHERRY_CHECK(real, "option {} wants a number, not {}", option, text(value));
  return *real;
}

void add_scalar(FlatBufferBuilder& builder, const TypeTable& fields, std::size_t field, const TflOption& option) {
  const flatbuffers::voffset_t at = flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(field));
  const double value = number(fields, field, option.value, option.name);
  switch (fields.type_codes[field].base_type) {
    case flatbuffers::ET_BOOL: return builder.AddElement<std::uint8_t>(at, value != 0 ? 1 : 0);
    case flatbuffers::ET_CHAR: return builder.AddElement(at, static_cast<std::int8_t>(value));
    case flatbuffers::ET_INT: return builder.AddElement(at, static_cast<std::int32_t>(value));
    case flatbuffers::ET_FLOAT: return builder.AddElement(at, static_cast<float>(value));
    default: WHERRY_CHECK(false, "option {} is of a kind that is not written yet", option.name);
  }
}

// Vectors and strings stand before the table that points to them.
flatbuffers::uoffset_t write_ahead(FlatBufferBuilder& builder, const TypeTable& fields, std::size_t field, const TflOption& option) {
  const auto code = fields.type_codes[field];
  if (code.base_type == flatbuffers::ET_STRING) {
    const auto* word = std::get_if<std::string>(&option.value);
    WHERRY_CHECK(word, "option {} wants a text, not {}", option.name, text(option.value));
    return builder.CreateString(*word).o;
  }
  if (!code.is_repeating) return 0;
  const auto* ints = std::get_if<Ints>(&option.value);
  WHERRY_CHECK(ints && code.base_type == flatbuffers::ET_INT, "option {} wants a list, not {}", option.name, text(option.value));
  return builder.CreateVector(std::vector<std::int32_t>(ints->begin(), ints->end())).o;
}

std::size_t field_index(const TypeTable& fields, const std::string& option, const std::string& builtin) {
  for (std::size_t i = 0; i < fields.num_elems; ++i)
    if (option == fields.names[i]) return i;
  WHERRY_CHECK(false, "{} has no option {}", builtin, option);
}

flatbuffers::Offset<void> write_table(FlatBufferBuilder& builder, const TypeTable& fields, const TflNode& node) {
  std::vector<std::size_t> indices;
  std::vector<flatbuffers::uoffset_t> ahead;
  for (const TflOption& option : node.options) {
    indices.push_back(field_index(fields, option.name, node.builtin));
    ahead.push_back(write_ahead(builder, fields, indices.back(), option));
  }
  const flatbuffers::uoffset_t start = builder.StartTable();
  for (std::size_t i = 0; i < node.options.size(); ++i) {
    const auto at = flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(indices[i]));
    if (ahead[i])
      builder.AddOffset(at, flatbuffers::Offset<void>(ahead[i]));
    else
      add_scalar(builder, fields, indices[i], node.options[i]);
  }
  return builder.EndTable(start);
}

}  // namespace

tflite::BuiltinOperator builtin_operator(std::string_view builtin) {
  const TypeTable& words = *tflite::BuiltinOperatorTypeTable();
  for (std::size_t i = 0; i < words.num_elems; ++i)
    if (builtin == words.names[i])
      return static_cast<tflite::BuiltinOperator>(words.values ? words.values[i] : static_cast<std::int64_t>(i));
  WHERRY_CHECK(false, "the schema has no operator {}", builtin);
}

WrittenOptions write_options(FlatBufferBuilder& builder, const TflNode& node) {
  const auto* shared =
      std::find_if(std::begin(shared_tables), std::end(shared_tables), [&](const auto& row) { return row.first == node.builtin; });
  const auto wanted = [&](std::string_view table) {
    return shared == std::end(shared_tables) ? is_for(table, node.builtin) : table == shared->second;
  };
  WrittenOptions out;
  if (const auto first = member(*tflite::BuiltinOptionsTypeTable(), wanted)) {
    out.type = static_cast<tflite::BuiltinOptions>(first->type);
    out.table = write_table(builder, *first->fields, node);
  } else if (const auto second = member(*tflite::BuiltinOptions2TypeTable(), wanted)) {
    out.type2 = static_cast<tflite::BuiltinOptions2>(second->type);
    out.table = write_table(builder, *second->fields, node);
  } else {
    WHERRY_CHECK(node.options.empty(), "{} takes no options, found {}", node.builtin, node.options.empty() ? "" : node.options[0].name);
  }
  return out;
}

}  // namespace wherry
