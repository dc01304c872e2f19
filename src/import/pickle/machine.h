// The part of Python's pickle language that torch.save speaks, as a machine that only ever builds the values below. What a
// pickle calls is looked up in a short list; anything else is refused by name (E108), so that nothing of it can run.
#pragma once

#include "ir/dtype.h"

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace wherry::pickle {

// One value. Compound values refer to others of the same machine; a pickle may make circles, so whoever walks must count.
struct Object {
  enum Kind {
    none,
    boolean,
    integer,
    number,
    text,  // of a boolean and a number only that it is one
    tuple,
    list,
    dict,     // dict: items are keys and values in turn
    global,   // text: "torch._utils._rebuild_tensor_v2"
    storage,  // text: its key; integer: elements; dtype
    tensor,   // items: the storage; offset, sizes and strides in `numbers`: [offset, sizes…, strides…]; dtype
    opaque,   // something that holds no tensor: a device, a NumPy number
  } kind = none;
  DType dtype = DType::float32;
  std::int64_t integer_value = 0;
  std::string_view text_value;  // a view into the pickle
  std::vector<Object*> items;
  std::vector<std::int64_t> numbers;
};

class Machine {
 public:
  explicit Machine(std::string title) : title_(std::move(title)) {}  // names the file in messages

  // Ends the work: the pickle is damaged in this way.
  [[noreturn]] void damaged(const std::string& how, const char* code = "E102") const;
  // Runs one pickle off the front of `bytes`, which then begins behind it.
  Object* run(std::span<const std::byte>& bytes);
  const std::deque<Object>& objects() const { return objects_; }

 private:
  void step(unsigned char opcode);
  bool push_value(unsigned char opcode);
  bool build(unsigned char opcode);
  void call();
  Object* call(std::string_view function, const std::vector<Object*>& args, int depth);
  Object* rebuild_tensor(const std::vector<Object*>& args, bool own_dtype);
  Object* ordered_dict(const std::vector<Object*>& args);
  void find_global(std::string_view module, std::string_view name);
  void persistent();
  void items_into(Object::Kind kind, std::vector<Object*> items);

  std::string_view take(std::size_t count);
  std::string_view line();
  std::uint64_t unsigned_number(std::size_t bytes);
  Object* make(Object::Kind kind);
  void push(Object* object) { stack_.push_back(object); }
  Object* pop();
  std::vector<Object*> pop_to_mark();
  Object* peek();
  void push_integer(std::int64_t value);
  void push_text(std::uint64_t length);
  void push_tuple(std::vector<Object*> items);
  void recall(std::uint64_t index);

  std::string title_;
  std::span<const std::byte> bytes_;
  std::deque<Object> objects_;
  std::deque<std::string> names_;
  std::vector<Object*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Object*> memo_;
};

}  // namespace wherry::pickle
