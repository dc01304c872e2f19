#include "import/pickle/machine.h"

#include "base/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wherry::pickle {

namespace {

constexpr std::size_t most_objects = 20'000'000;

struct StorageClass {
  std::string_view name;
  DType dtype;
};
constexpr auto storage_classes = std::to_array<StorageClass>({
    {"torch.FloatStorage", DType::float32},
    {"torch.DoubleStorage", DType::float64},
    {"torch.HalfStorage", DType::float16},
    {"torch.BFloat16Storage", DType::bfloat16},
    {"torch.LongStorage", DType::int64},
    {"torch.IntStorage", DType::int32},
    {"torch.ShortStorage", DType::int16},
    {"torch.CharStorage", DType::int8},
    {"torch.ByteStorage", DType::uint8},
    {"torch.BoolStorage", DType::boolean},
    {"torch.ComplexFloatStorage", DType::complex64},
    {"torch.ComplexDoubleStorage", DType::complex128},
    {"torch.storage.UntypedStorage", DType::uint8},
    {"torch.UntypedStorage", DType::uint8},
    {"torch.storage._UntypedStorage", DType::uint8},
});

// Functions and classes whose results hold no tensor: kept as values that nobody looks into.
constexpr std::string_view harmless[] = {
    "torch.device",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.storage.TypedStorage",
    "torch.serialization._get_layout",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "_codecs.encode",
    "builtins.set",
    "__builtin__.set",
    "builtins.complex",
    "__builtin__.complex",
    "builtins.bytearray",
    "__builtin__.bytearray",
};
constexpr std::string_view known[] = {
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.Size",
    "builtins.dict",
    "__builtin__.dict",
    "builtins.list",
    "__builtin__.list",
};

template <class List>
bool has(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

std::optional<DType> storage_dtype(std::string_view name) {
  for (const StorageClass& row : storage_classes)
    if (row.name == name) return row.dtype;
  return std::nullopt;
}

std::optional<DType> torch_dtype(std::string_view name) {
  constexpr std::string_view prefix = "torch.";
  return name.starts_with(prefix) ? parse_dtype(name.substr(prefix.size())) : std::nullopt;
}

}  // namespace

void Machine::damaged(const std::string& how, const char* code) const {
  fail({.code = code,
        .message = fmt::format("{}: the pickle is damaged: {}", title_, how),
        .next = "save it again, or copy the file again"});
}

std::string_view Machine::take(std::size_t count) {
  if (count > bytes_.size()) damaged("it ends in the middle");
  const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()), count);
  bytes_ = bytes_.subspan(count);
  return taken;
}

std::string_view Machine::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) damaged("it ends in the middle");
  return take(end + 1).substr(0, end);
}

std::uint64_t Machine::unsigned_number(std::size_t count) {
  const std::string_view taken = take(count);
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8U | static_cast<unsigned char>(taken[i]);
  return value;
}

Object* Machine::make(Object::Kind kind) {
  if (objects_.size() >= most_objects) damaged("it makes too many values");
  Object& object = objects_.emplace_back();
  object.kind = kind;
  return &object;
}

Object* Machine::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) damaged("it takes from an empty stack");
  Object* object = stack_.back();
  stack_.pop_back();
  return object;
}

std::vector<Object*> Machine::pop_to_mark() {
  if (marks_.empty()) damaged("it goes back to a mark that is not there");
  const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Object*> items(from, stack_.end());
  stack_.erase(from, stack_.end());
  marks_.pop_back();
  return items;
}

Object* Machine::peek() {
  Object* object = pop();
  push(object);
  return object;
}

void Machine::recall(std::uint64_t index) {
  const auto it = memo_.find(index);
  if (it == memo_.end()) damaged("it recalls a value that it did not keep");
  push(it->second);
}

void Machine::items_into(Object::Kind kind, std::vector<Object*> items) {
  Object* target = peek();
  if (target->kind != kind && target->kind != Object::opaque) damaged("it puts items into what holds none");
  if (kind == Object::dict && items.size() % 2 != 0) damaged("a key has no value");
  if (target->kind == kind) target->items.insert(target->items.end(), items.begin(), items.end());
}

void Machine::find_global(std::string_view module, std::string_view name) {
  const std::string& full = names_.emplace_back(fmt::format("{}.{}", module, name));
  if (!has(known, full) && !has(harmless, full) && !storage_dtype(full) && !torch_dtype(full))
    fail({.code = "E108",
          .message = fmt::format("{}: the pickle asks for '{}', which Wherry does not run", title_, full),
          .next = "save tensors only: torch.save(model.state_dict(), path)"});
  Object* object = make(Object::global);
  object->text_value = full;
  push(object);
}

// ('storage', class, key, location, elements[, view]): the reference to bytes that lie outside of the pickle.
void Machine::persistent() {
  const Object* id = pop();
  const auto& items = id->items;
  const bool whole = id->kind == Object::tuple && items.size() >= 5 && items[0]->text_value == "storage" &&
                     items[1]->kind == Object::global && items[2]->kind == Object::text && items[4]->kind == Object::integer;
  const std::optional<DType> dtype = whole ? storage_dtype(items[1]->text_value) : std::nullopt;
  if (!dtype) damaged("a reference to a tensor's bytes is of an unknown form");
  if (items.size() > 5 && items[5]->kind != Object::none) damaged("a storage that is a view of another", "E106");
  Object* object = make(Object::storage);
  object->text_value = items[2]->text_value;
  object->integer_value = items[4]->integer_value;
  object->dtype = *dtype;
  push(object);
}

Object* Machine::rebuild_tensor(const std::vector<Object*>& args, bool own_dtype) {
  const auto are_ints = [](const Object* list) {
    return (list->kind == Object::tuple || list->kind == Object::list) &&
           std::all_of(list->items.begin(), list->items.end(), [](const Object* o) { return o->kind == Object::integer; });
  };
  const bool whole = args.size() >= (own_dtype ? 7U : 4U) && args[0]->kind == Object::storage && args[1]->kind == Object::integer &&
                     are_ints(args[2]) && are_ints(args[3]) && args[2]->items.size() == args[3]->items.size();
  if (!whole) damaged("a tensor is built from what is no storage, shape and strides");
  Object* tensor = make(Object::tensor);
  tensor->dtype = args[0]->dtype;
  if (own_dtype) {
    const std::optional<DType> dtype = args[6]->kind == Object::global ? torch_dtype(args[6]->text_value) : std::nullopt;
    if (!dtype) damaged("a tensor is of an unknown data type");
    tensor->dtype = *dtype;
  }
  tensor->items = {args[0]};
  tensor->numbers.push_back(args[1]->integer_value);
  for (const Object* list : {args[2], args[3]})
    for (const Object* size : list->items) tensor->numbers.push_back(size->integer_value);
  return tensor;
}

Object* Machine::ordered_dict(const std::vector<Object*>& args) {
  Object* dict = make(Object::dict);
  if (args.empty() || args[0]->kind != Object::list) return dict;
  for (const Object* pair : args[0]->items)
    if (pair->items.size() == 2) dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
  return dict;
}

Object* Machine::call(std::string_view function, const std::vector<Object*>& args, int depth) {
  if (function == "torch._utils._rebuild_tensor_v2" || function == "torch._utils._rebuild_tensor") return rebuild_tensor(args, false);
  if (function == "torch._utils._rebuild_tensor_v3") return rebuild_tensor(args, true);
  if (function.starts_with("torch._utils._rebuild_parameter") && !args.empty()) return args[0];
  if (function.starts_with("collections.") || function.ends_with(".dict")) return ordered_dict(args);
  if (function == "torch.Size" || function.ends_with(".list")) return args.empty() ? make(Object::tuple) : args[0];
  if (function == "torch._tensor._rebuild_from_type_v2" && depth < 4 && args.size() >= 3 && args[0]->kind == Object::global &&
      args[2]->kind == Object::tuple)
    return call(args[0]->text_value, args[2]->items, depth + 1);  // (function, class, its arguments, state)
  return make(Object::opaque);
}

void Machine::call() {
  const Object* args = pop();
  const Object* function = pop();
  if (args->kind != Object::tuple) damaged("it calls with what is no tuple");
  if (function->kind == Object::opaque) return push(make(Object::opaque));
  if (function->kind != Object::global) damaged("it calls what is no function");
  push(call(function->text_value, args->items, 0));
}

Object* Machine::run(std::span<const std::byte>& bytes) {
  bytes_ = bytes;
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    if (opcode == '.') break;
    step(opcode);
  }
  Object* result = pop();
  bytes = bytes_;
  return result;
}

void Machine::push_integer(std::int64_t value) {
  Object* object = make(Object::integer);
  object->integer_value = value;
  push(object);
}

void Machine::push_text(std::uint64_t length) {
  Object* object = make(Object::text);
  object->text_value = take(length);
  push(object);
}

void Machine::push_tuple(std::vector<Object*> items) {
  Object* object = make(Object::tuple);
  object->items = std::move(items);
  push(object);
}

void Machine::step(unsigned char opcode) {
  if (push_value(opcode) || build(opcode)) return;
  switch (opcode) {
    case 0x80: take(1); return;  // PROTO
    case 0x95: take(8); return;  // FRAME
    case 'c': {                  // GLOBAL
      const std::string_view module = line();
      return find_global(module, line());
    }
    case 0x93: {  // STACK_GLOBAL
      const Object *name = pop(), *module = pop();
      if (name->kind != Object::text || module->kind != Object::text) damaged("a name is not text");
      return find_global(module->text_value, name->text_value);
    }
    case 'R':                       // REDUCE
    case 0x81: return call();       // NEWOBJ
    case 'b': pop(); return;        // BUILD: the state of an object is not looked at
    case 'Q': return persistent();  // BINPERSID
    default: damaged(fmt::format("it has the instruction {:#04x}, which torch.save does not write", opcode), "E106");
  }
}

// Instructions that push a value which stands in the pickle.
bool Machine::push_value(unsigned char opcode) {
  switch (opcode) {
    case 'N': push(make(Object::none)); return true;
    case 0x88:
    case 0x89: push(make(Object::boolean)); return true;
    case 'J': push_integer(static_cast<std::int32_t>(unsigned_number(4))); return true;  // BININT
    case 'K': push_integer(static_cast<std::int64_t>(unsigned_number(1))); return true;  // BININT1
    case 'M': push_integer(static_cast<std::int64_t>(unsigned_number(2))); return true;  // BININT2
    case 0x8a: {                                                                         // LONG1
      const std::string_view digits = take(unsigned_number(1));
      std::uint64_t value = !digits.empty() && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
      for (std::size_t i = std::min<std::size_t>(digits.size(), 8); i-- > 0;) value = value << 8U | static_cast<unsigned char>(digits[i]);
      if (digits.size() > 8)
        push(make(Object::opaque));  // larger than any size: nothing here uses it
      else
        push_integer(static_cast<std::int64_t>(value));
      return true;
    }
    case 'G':
      take(8);
      push(make(Object::number));
      return true;                                          // BINFLOAT
    case 'X':                                               // BINUNICODE
    case 'T':                                               // BINSTRING
    case 'B': push_text(unsigned_number(4)); return true;   // BINBYTES
    case 'U':                                               // SHORT_BINSTRING
    case 'C':                                               // SHORT_BINBYTES
    case 0x8c: push_text(unsigned_number(1)); return true;  // SHORT_BINUNICODE
    case 0x8d:                                              // BINUNICODE8
    case 0x8e: push_text(unsigned_number(8)); return true;  // BINBYTES8
    case 0x8f: push(make(Object::opaque)); return true;     // EMPTY_SET
    default: return false;
  }
}

// Instructions that move values on the stack, put them into others, keep them and recall them.
bool Machine::build(unsigned char opcode) {
  switch (opcode) {
    case '(': marks_.push_back(stack_.size()); return true;
    case '0': pop(); return true;
    case '1': pop_to_mark(); return true;
    case '2': push(peek()); return true;
    case ')': push_tuple({}); return true;
    case 0x85:
    case 0x86:
    case 0x87: {  // TUPLE1 to TUPLE3
      std::vector<Object*> items(opcode - 0x84U);
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      push_tuple(std::move(items));
      return true;
    }
    case 't': push_tuple(pop_to_mark()); return true;
    case ']': push(make(Object::list)); return true;
    case '}': push(make(Object::dict)); return true;
    case 'a': {
      Object* item = pop();
      items_into(Object::list, {item});
      return true;
    }
    case 'e': items_into(Object::list, pop_to_mark()); return true;
    case 's': {
      Object *value = pop(), *key = pop();
      items_into(Object::dict, {key, value});
      return true;
    }
    case 'u': items_into(Object::dict, pop_to_mark()); return true;
    case 'q': memo_[unsigned_number(1)] = peek(); return true;
    case 'r': memo_[unsigned_number(4)] = peek(); return true;
    case 0x94: memo_[memo_.size()] = peek(); return true;  // MEMOIZE
    case 'h': recall(unsigned_number(1)); return true;
    case 'j': recall(unsigned_number(4)); return true;
    case 0x90: pop_to_mark(); return true;  // ADDITEMS: to a set, which nobody looks into
    case 0x91:                              // FROZENSET
      pop_to_mark();
      push(make(Object::opaque));
      return true;
    default: return false;
  }
}

}  // namespace wherry::pickle
