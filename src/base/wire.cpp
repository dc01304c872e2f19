#include "base/wire.h"

#include <cstring>

namespace wherry::wire {

namespace {

std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < rest.size() && i < 10; ++i) {
    const auto byte = static_cast<std::uint8_t>(rest[i]);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      rest.remove_prefix(i + 1);
      return value;
    }
  }
  throw Fault{};
}

std::string_view take(std::string_view& rest, std::uint64_t size) {
  if (size > rest.size()) throw Fault{};
  const std::string_view bytes = rest.substr(0, size);
  rest.remove_prefix(size);
  return bytes;
}

template <class T>
void append_fixed(const Field& field, std::vector<T>& to) {
  std::string_view bytes = field.bytes;
  if (field.kind != 2) {  // one number
    T one;
    std::memcpy(&one, &field.number, sizeof one);
    return to.push_back(one);
  }
  if (bytes.size() % sizeof(T)) throw Fault{};
  const std::size_t before = to.size();
  to.resize(before + bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(to.data() + before, bytes.data(), bytes.size());
}

}  // namespace

float Field::float32() const {
  float value;
  std::memcpy(&value, &number, sizeof value);
  return value;
}

std::optional<Field> Reader::next() {
  if (rest_.empty()) return std::nullopt;
  const std::uint64_t tag = take_varint(rest_);
  Field field{.id = static_cast<int>(tag >> 3), .kind = static_cast<int>(tag & 7), .number = 0, .bytes = {}};
  if ((tag >> 3) == 0 || (tag >> 3) > 0x1fffffff) throw Fault{};
  switch (field.kind) {
    case 0: field.number = take_varint(rest_); break;
    case 1: std::memcpy(&field.number, take(rest_, 8).data(), 8); break;
    case 2: field.bytes = take(rest_, take_varint(rest_)); break;
    case 5: std::memcpy(&field.number, take(rest_, 4).data(), 4); break;
    default: throw Fault{};
  }
  return field;
}

void append_varints(const Field& field, std::vector<std::int64_t>& to) {
  if (field.kind != 2) return to.push_back(field.integer());
  for (std::string_view rest = field.bytes; !rest.empty();) to.push_back(static_cast<std::int64_t>(take_varint(rest)));
}
void append_floats(const Field& field, std::vector<float>& to) { append_fixed(field, to); }
void append_doubles(const Field& field, std::vector<double>& to) { append_fixed(field, to); }

void Writer::raw(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) text_.push_back(static_cast<char>(value | 0x80));
  text_.push_back(static_cast<char>(value));
}

void Writer::varint(int id, std::int64_t value) {
  raw(static_cast<std::uint64_t>(id) << 3);
  raw(static_cast<std::uint64_t>(value));
}

void Writer::float32(int id, float value) {
  raw((static_cast<std::uint64_t>(id) << 3) | 5);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  text_.append(bytes, sizeof value);
}

void Writer::begin_bytes(int id, std::uint64_t size) {
  raw((static_cast<std::uint64_t>(id) << 3) | 2);
  raw(size);
}

void Writer::bytes(int id, std::string_view value) {
  begin_bytes(id, value.size());
  text_.append(value);
}

}  // namespace wherry::wire
