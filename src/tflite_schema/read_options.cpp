#include "tflite_schema/read_options.h"

#include "tflite_schema/tflite_model.h"

#include <flatbuffers/minireflect.h>

namespace wherry {
namespace {

using flatbuffers::Table;
using flatbuffers::TypeTable;

const TypeTable* member(const TypeTable& options, int type) {
  for (std::size_t i = 1; i < options.num_elems; ++i)
    if ((options.values ? options.values[i] : static_cast<std::int64_t>(i)) == type)
      return options.type_refs[options.type_codes[i].sequence_ref]();
  return nullptr;
}

// The fields whose default is not zero: reflection does not tell.
std::int64_t fallback(std::string_view field) { return field.ends_with("_factor") || field == "pot_scale_int16" ? 1 : 0; }

Attr enum_word(const TypeTable& words, std::int64_t value) {
  if (&words == tflite::TensorTypeTypeTable())
    if (const std::optional<DType> dtype = dtype_of(static_cast<tflite::TensorType>(value))) return *dtype;
  for (std::size_t i = 0; i < words.num_elems; ++i)
    if ((words.values ? words.values[i] : static_cast<std::int64_t>(i)) == value) return std::string(words.names[i]);
  return value;
}

Ints numbers(const flatbuffers::Vector<std::int32_t>& list) { return {list.begin(), list.end()}; }

std::optional<Attr> field_value(const Table& table, const TypeTable& fields, std::size_t i) {
  const flatbuffers::TypeCode code = fields.type_codes[i];
  const auto at = flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(i));
  const std::int64_t otherwise = fallback(fields.names[i]);
  if (code.is_repeating) {
    if (code.base_type != flatbuffers::ET_INT || !table.CheckField(at)) return std::nullopt;
    return numbers(*table.GetPointer<const flatbuffers::Vector<std::int32_t>*>(at));
  }
  const auto whole = [&](std::int64_t value) -> Attr {
    return code.sequence_ref < 0 ? Attr(value) : enum_word(*fields.type_refs[code.sequence_ref](), value);
  };
  switch (code.base_type) {
    case flatbuffers::ET_BOOL: return table.GetField<std::uint8_t>(at, static_cast<std::uint8_t>(otherwise)) != 0;
    case flatbuffers::ET_CHAR: return whole(table.GetField<std::int8_t>(at, static_cast<std::int8_t>(otherwise)));
    case flatbuffers::ET_INT: return whole(table.GetField<std::int32_t>(at, static_cast<std::int32_t>(otherwise)));
    case flatbuffers::ET_FLOAT: return static_cast<double>(table.GetField<float>(at, 0));
    default: return std::nullopt;
  }
}

}  // namespace

std::vector<TflOption> read_options(const tflite::Operator& op) {
  std::vector<TflOption> out;
  const bool first = op.builtin_options_type() != tflite::BuiltinOptions::NONE;
  const void* options = first ? op.builtin_options() : op.builtin_options_2();
  const TypeTable* fields = first ? member(*tflite::BuiltinOptionsTypeTable(), static_cast<int>(op.builtin_options_type()))
                                  : member(*tflite::BuiltinOptions2TypeTable(), static_cast<int>(op.builtin_options_2_type()));
  if (!options || !fields) return out;
  for (std::size_t i = 0; i < fields->num_elems; ++i) {
    const std::string name = fields->names[i];
    if (name.starts_with("unused")) continue;
    std::optional<Attr> value = field_value(*static_cast<const Table*>(options), *fields, i);
    const bool no_bias_type = name == "quantized_bias_type" && value == Attr(DType::float32);  // the default: not said
    if (value && !no_bias_type) out.push_back({name, *std::move(value)});
  }
  return out;
}

}  // namespace wherry
