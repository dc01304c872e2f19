#include "import/pickle/unpickle.h"

#include "base/diagnostics.h"
#include "base/text.h"
#include "import/pickle/machine.h"
#include "import/storage.h"

#include <fmt/format.h>

#include <cstring>

namespace wherry {

namespace {

using pickle::Object;

// The first bytes of what torch.save wrote before PyTorch 1.6: a pickle of a magic number.
constexpr unsigned char old_magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

bool is_old_format(std::span<const std::byte> bytes) {
  return bytes.size() > sizeof old_magic && std::memcmp(bytes.data(), old_magic, sizeof old_magic) == 0;
}

class Checkpoint {
 public:
  Checkpoint(const OwnedBytes& bytes, std::string title) : title_(std::move(title)), machine_(title_) {
    if (is_old_format(bytes.bytes)) {
      read_old(bytes);
      return;
    }
    if (!Archive::looks_like_zip(bytes.bytes))
      fail({.code = "E107",
            .message = fmt::format("{} is not a file that torch.save wrote", title_),
            .next = "save it again: torch.save(model.state_dict(), path)"});
    Archive& archive = archive_.emplace(bytes, title_);
    if (archive.has("constants.pkl") && !archive.has("data.pkl"))
      fail({.code = "E107",
            .message = fmt::format("{} is a TorchScript archive, not weights", title_),
            .next = "save the weights: torch.save(model.state_dict(), path)"});
    if (archive.has("byteorder") && archive.read("byteorder").text() != "little")
      damaged(fmt::format("its byte order is '{}', Wherry reads 'little'", archive.read("byteorder").text()), "E106");
    pickle_ = archive.read("data.pkl");
    std::span<const std::byte> rest = pickle_.bytes;
    top_ = machine_.run(rest);
  }

  Weights weights() {
    Weights weights;
    const Object* dict = state_dict();
    for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const Object& key = *dict->items[i];
      if (key.kind == Object::text && dict->items[i + 1]->kind == Object::tensor)
        weights.insert_or_assign(std::string(key.text_value), tensor(*dict->items[i + 1], fmt::format("weight '{}'", key.text_value)));
    }
    return weights;
  }

  Tensor single() {
    if (top_->kind != Object::tensor) damaged("it holds no tensor", "E107");
    return tensor(*top_, "the tensor");
  }

 private:
  [[noreturn]] void damaged(const std::string& how, const char* code) const { machine_.damaged(how, code); }

  static int tensors_in(const Object& dict) {
    int count = 0;
    if (dict.kind != Object::dict) return 0;
    for (std::size_t i = 1; i < dict.items.size(); i += 2) count += dict.items[i]->kind == Object::tensor ? 1 : 0;
    return count;
  }

  // The dictionary of tensors: the saved value itself, or one that it holds under a usual name, or the only one.
  const Object* state_dict() const {
    if (top_->kind == Object::dict && (tensors_in(*top_) > 0 || top_->items.empty())) return top_;
    std::vector<std::string> names;
    const Object* found = nullptr;
    for (std::size_t i = 0; top_->kind == Object::dict && i + 1 < top_->items.size(); i += 2) {
      const Object& key = *top_->items[i];
      if (key.kind != Object::text || tensors_in(*top_->items[i + 1]) == 0) continue;
      for (const char* usual : {"state_dict", "model", "model_state_dict"})
        if (key.text_value == usual) return top_->items[i + 1];
      names.emplace_back(key.text_value);
      found = top_->items[i + 1];
    }
    if (names.size() == 1) return found;
    fail({.code = "E107",
          .message = names.empty() ? fmt::format("{} holds no dictionary of tensors", title_)
                                   : fmt::format("{} holds several dictionaries of tensors: {}", title_, join(names, ", ")),
          .next = "save the one that is meant: torch.save(model.state_dict(), path)"});
  }

  Tensor tensor(const Object& object, const std::string& what) {
    const Object& storage = *object.items[0];
    const OwnedBytes bytes = storage_bytes(storage);
    const std::size_t rank = (object.numbers.size() - 1) / 2;
    const auto sizes = object.numbers.begin() + 1, strides = sizes + static_cast<std::ptrdiff_t>(rank);
    return view_storage(bytes, object.dtype, Sizes(sizes, strides), Sizes(strides, object.numbers.end()), object.numbers[0],
                        fmt::format("{} of {}", what, title_));
  }

  OwnedBytes storage_bytes(const Object& storage) {
    const std::string key(storage.text_value);
    OwnedBytes bytes;
    if (archive_) {
      bytes = archive_->read("data/" + key);
    } else {
      const auto it = old_storages_.find(key);
      if (it == old_storages_.end()) damaged(fmt::format("storage '{}' is missing", key), "E103");
      bytes = it->second;
    }
    const std::uint64_t element = byte_size(storage.dtype);
    if (storage.integer_value < 0 || bytes.bytes.size() / element < static_cast<std::uint64_t>(storage.integer_value) ||
        bytes.bytes.size() != static_cast<std::uint64_t>(storage.integer_value) * element)
      damaged(fmt::format("storage '{}' has {} elements of {}, but holds {} bytes", key, storage.integer_value, name(storage.dtype),
                          bytes.bytes.size()),
              "E105");
    return bytes;
  }

  // Magic number, version, machine, value, keys; then for each key its number of elements and its bytes.
  void read_old(const OwnedBytes& bytes) {
    std::span<const std::byte> rest = bytes.bytes;
    machine_.run(rest);
    const Object* version = machine_.run(rest);
    if (version->kind != Object::integer || version->integer_value != 1001) damaged("its version is not 1001", "E106");
    machine_.run(rest);
    top_ = machine_.run(rest);
    std::map<std::string, std::size_t> element_sizes;
    for (const Object& object : machine_.objects())
      if (object.kind == Object::storage) element_sizes[std::string(object.text_value)] = byte_size(object.dtype);
    const Object* keys = machine_.run(rest);
    for (const Object* key : keys->items) {
      std::uint64_t count = 0;
      if (rest.size() < sizeof count) damaged("it ends before its tensors", "E102");
      std::memcpy(&count, rest.data(), sizeof count);
      rest = rest.subspan(sizeof count);
      const auto it = element_sizes.find(std::string(key->text_value));
      if (it == element_sizes.end() || count > rest.size() / it->second)
        damaged(fmt::format("storage '{}' ends outside of the file", key->text_value), "E102");
      old_storages_[it->first] = {rest.subspan(0, count * it->second), bytes.owner};
      rest = rest.subspan(count * it->second);
    }
  }

  std::string title_;
  pickle::Machine machine_;
  std::optional<Archive> archive_;
  OwnedBytes pickle_;
  std::map<std::string, OwnedBytes, std::less<>> old_storages_;
  const Object* top_ = nullptr;
};

}  // namespace

Weights read_checkpoint(const OwnedBytes& bytes, const std::string& title) { return Checkpoint(bytes, title).weights(); }

Tensor read_pickled_tensor(const OwnedBytes& bytes, const std::string& title) { return Checkpoint(bytes, title).single(); }

}  // namespace wherry
