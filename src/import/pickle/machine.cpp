#include "import/pickle/machine.h"

#include "base/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace wherry::pickle {

namespace {

constexpr std::size_t most_objects = 20'000'000;

struct StorageClass {
  std::string_view name;
  DType dtype;
};
constexpr auto storage_classes = std::to_array<StorageClass>({
    {"torch.FloatStorage", DType::float32}, {"torch.DoubleStorage", DType::float64}, {"torch.HalfStorage", DType::float16},
    {"torch.BFloat16Storage", DType::bfloat16}, {"torch.LongStorage", DType::int64}, {"torch.IntStorage", DType::int32},
    {"torch.ShortStorage", DType::int16}, {"torch.CharStorage", DType::int8}, {"torch.ByteStorage", DType::uint8},
    {"torch.BoolStorage", DType::boolean}, {"torch.ComplexFloatStorage", DType::complex64}, {"torch.ComplexDoubleStorage", DType::complex128},
    {"torch.storage.UntypedStorage", DType::uint8}, {"torch.UntypedStorage", DType::uint8}, {"torch.storage._UntypedStorage", DType::uint8},
});

// Functions and classes whose results hold no tensor: kept as values that nobody looks into.
constexpr std::string_view harmless[] = {
    "torch.device", "torch.Tensor", "torch.nn.parameter.Parameter", "torch.storage.TypedStorage", "torch.serialization._get_layout",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct", "_codecs.encode", "builtins.set", "__builtin__.set", "builtins.complex", "__builtin__.complex",
    "builtins.bytearray", "__builtin__.bytearray",
};
constexpr std::string_view known[] = {
    "collections.OrderedDict", "collections.Counter", "collections.defaultdict", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2", "torch.Size", "builtins.dict", "__builtin__.dict", "builtins.list", "__builtin__.list",
};

template <class List> bool has(const List& list, std::string_view word) { return std::find(std::begin(list), std::end(list), word) != std::end(list); }

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
  fail({.code = code, .message = fmt::format("{}: the pickle is damaged: {}", title_, how), .next = "save it again, or copy the file again"});
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

Object* Machine::top(Object::Kind kind) {
  Object* object = pop();
  push(object);
  if (object->kind != kind && object->kind != Object::opaque) damaged("it puts items into what holds none");
  return object;
}

void Machine::remember(std::uint64_t index) {
  Object* object = pop();
  push(object);
  memo_[index] = object;
}

void Machine::recall(std::uint64_t index) {
  const auto it = memo_.find(index);
  if (it == memo_.end()) damaged("it recalls a value that it did not keep");
  push(it->second);
}

void Machine::items_into(Object::Kind kind, std::vector<Object*> items) {
  Object* target = top(kind);
  if (kind == Object::dict && items.size() % 2 != 0) damaged("a key has no value");
  if (target->kind == kind) target->items.insert(target->items.end(), items.begin(), items.end());
}

void Machine::find_global(std::string_view module, std::string_view name) {
  const std::string& full = names_.emplace_back(fmt::format("{}.{}", module, name));
  if (!has(known, full) && !has(harmless, full) && !storage_dtype(full) && !torch_dtype(full))
    fail({.code = "E108", .message = fmt::format("{}: the pickle asks for '{}', which Wherry does not run", title_, full),
          .next = "save tensors only: torch.save(model.state_dict(), path)"});
  Object* object = make(Object::global);
  object->text_value = full;
  push(object);
}

// ('storage', class, key, location, elements[, view]): the reference to bytes that lie outside of the pickle.
void Machine::persistent() {
  const Object* id = pop();
  const auto& items = id->items;
  const bool whole = id->kind == Object::tuple && items.size() >= 5 && items[0]->text_value == "storage" && items[1]->kind == Object::global &&
                     items[2]->kind == Object::text && items[4]->kind == Object::integer;
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
    return call(args[0]->text_value, args[2]->items, depth + 1);   // (function, class, its arguments, state)
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

void Machine::step(unsigned char opcode) {
  const auto integer = [&](std::int64_t value) {
    Object* object = make(Object::integer);
    object->integer_value = value;
    push(object);
  };
  const auto text = [&](std::string_view value) {
    Object* object = make(Object::text);
    object->text_value = value;
    push(object);
  };
  const auto tuple = [&](std::size_t count) {
    Object* object = make(Object::tuple);
    for (std::size_t i = 0; i < count; ++i) object->items.push_back(pop());
    std::reverse(object->items.begin(), object->items.end());
    push(object);
  };
  switch (opcode) {
    case 0x80: take(1); return;                                                    // PROTO
    case '(': marks_.push_back(stack_.size()); return;                             // MARK
    case '0': pop(); return;                                                       // POP
    case '1': pop_to_mark(); return;                                               // POP_MARK
    case '2': { Object* object = pop(); push(object); push(object); return; }      // DUP
    case 'N': return push(make(Object::none));
    case 0x88:
    case 0x89: { Object* object = make(Object::boolean); object->integer_value = opcode == 0x88; return push(object); }
    case 'J': return integer(static_cast<std::int32_t>(unsigned_number(4)));       // BININT
    case 'K': return integer(static_cast<std::int64_t>(unsigned_number(1)));       // BININT1
    case 'M': return integer(static_cast<std::int64_t>(unsigned_number(2)));       // BININT2
    case 0x8a: {                                                                   // LONG1
      const std::string_view digits = take(unsigned_number(1));
      std::uint64_t value = !digits.empty() && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
      for (std::size_t i = std::min<std::size_t>(digits.size(), 8); i-- > 0;) value = value << 8U | static_cast<unsigned char>(digits[i]);
      if (digits.size() > 8) return push(make(Object::opaque));                    // larger than any size: nothing here uses it
      return integer(static_cast<std::int64_t>(value));
    }
    case 'G': {                                                                    // BINFLOAT, big-endian
      Object* object = make(Object::number);
      object->number_value = std::bit_cast<double>(__builtin_bswap64(unsigned_number(8)));
      return push(object);
    }
    case 'X': return text(take(unsigned_number(4)));                               // BINUNICODE
    case 'U': return text(take(unsigned_number(1)));                               // SHORT_BINSTRING
    case 'T': return text(take(unsigned_number(4)));                               // BINSTRING
    case ')': return tuple(0);
    case 0x85: return tuple(1);
    case 0x86: return tuple(2);
    case 0x87: return tuple(3);
    case 't': { Object* object = make(Object::tuple); object->items = pop_to_mark(); return push(object); }
    case ']': return push(make(Object::list));
    case 'l': { Object* object = make(Object::list); object->items = pop_to_mark(); return push(object); }
    case '}': return push(make(Object::dict));
    case 'a': { Object* item = pop(); return items_into(Object::list, {item}); }
    case 'e': return items_into(Object::list, pop_to_mark());
    case 's': { Object* value = pop(); Object* key = pop(); return items_into(Object::dict, {key, value}); }
    case 'u': return items_into(Object::dict, pop_to_mark());
    case 'q': return remember(unsigned_number(1));
    case 'r': return remember(unsigned_number(4));
    case 'h': return recall(unsigned_number(1));
    case 'j': return recall(unsigned_number(4));
    case 'c': { const std::string_view module = line(); return find_global(module, line()); }
    case 'R':                                                                      // REDUCE
    case 0x81: return call();                                                      // NEWOBJ
    case 'b': pop(); return;                                                       // BUILD: the state of an object is not looked at
    case 'Q': return persistent();
    default: return step_protocol4(opcode);
  }
}

void Machine::step_protocol4(unsigned char opcode) {
  const auto text = [&](std::uint64_t length) {
    Object* object = make(Object::text);
    object->text_value = take(length);
    push(object);
  };
  switch (opcode) {
    case 'B': return text(unsigned_number(4));                                     // BINBYTES
    case 'C': return text(unsigned_number(1));                                     // SHORT_BINBYTES
    case 0x8c: return text(unsigned_number(1));                                    // SHORT_BINUNICODE
    case 0x8d:                                                                     // BINUNICODE8
    case 0x8e: return text(unsigned_number(8));                                    // BINBYTES8
    case 0x8f: return push(make(Object::opaque));                                  // EMPTY_SET
    case 0x90: pop_to_mark(); return;                                              // ADDITEMS
    case 0x91: pop_to_mark(); return push(make(Object::opaque));                   // FROZENSET
    case 0x93: {                                                                   // STACK_GLOBAL
      const Object* name = pop();
      const Object* module = pop();
      if (name->kind != Object::text || module->kind != Object::text) damaged("a name is not text");
      return find_global(module->text_value, name->text_value);
    }
    case 0x94: return remember(memo_.size());                                      // MEMOIZE
    case 0x95: take(8); return;                                                    // FRAME
    default: damaged(fmt::format("it has the instruction {:#04x}, which torch.save does not write", opcode), "E106");
  }
}

}  // namespace wherry::pickle
