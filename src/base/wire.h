// The wire format of protocol buffers, read and written in place: .onnx files are large weights with little around them, and generated
// classes would own, and so copy, every byte of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::wire {

// Thrown on bytes that are no message: cut off, or of a kind that does not exist.
struct Fault {};

// One field of a message: `bytes` for a length-delimited one (a view, nothing is copied), `number` for all others.
struct Field {
  int id = 0;
  int kind = 0;  // 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes
  std::uint64_t number = 0;
  std::string_view bytes;
  std::int64_t integer() const { return static_cast<std::int64_t>(number); }
  float float32() const;
};

// Fields in the order in which they stand.
class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}
  std::optional<Field> next();

 private:
  std::string_view rest_;
};

// Calls f(field) for each field.
template <class F>
void each(std::string_view message, F f) {
  Reader reader(message);
  while (const std::optional<Field> field = reader.next()) f(*field);
}

// A repeated number, packed or one at a time.
void append_varints(const Field& field, std::vector<std::int64_t>& to);
void append_floats(const Field& field, std::vector<float>& to);
void append_doubles(const Field& field, std::vector<double>& to);

// A message under construction.
class Writer {
 public:
  void varint(int id, std::int64_t value);
  void float32(int id, float value);
  void bytes(int id, std::string_view value);
  void begin_bytes(int id, std::uint64_t size);  // the head of a length-delimited field whose bytes the caller adds behind it
  const std::string& text() const { return text_; }

 private:
  void raw(std::uint64_t value);
  std::string text_;
};

}  // namespace wherry::wire
