// PyTorch tensors are windows on storages that can be written to; our values never change. This keeps the books: which
// names are windows on one storage, and what each of them shows after a write through another.
#pragma once

#include "import/foreign.h"

namespace wherry::pt2 {

class Aliases {
 public:
  using Id = int;
  enum class Origin { computed, weight, input };
  // Adds the nodes for an ATen call and returns its outputs.
  using Call = std::function<std::vector<ValueId>(const ForeignNode&)>;

  Aliases(Builder& builder, Call call) : builder_(builder), call_(std::move(call)) {}

  // A tensor with a storage of its own.
  Id own(ValueId value, Origin origin = Origin::computed, std::string name = {});
  // Output `output` of the view operator `how` applied to `of`. `maybe`: PyTorch makes a view or a copy, and the file does not say which.
  Id view(Id of, ForeignNode how, std::size_t output, ValueId value, bool maybe);

  void set(Id id, ValueId value) { tensors_[index(id)].value = value; }  // of a weight that is read late
  // Whether a write into one may change what the other shows: false only where the windows are seen to be apart.
  bool may_overlap(Id a, Id b) const;
  // Whether both are the same window, reached by the same steps: x[1:] and x[1:] again.
  bool same_window(Id a, Id b) const;
  // What the tensor holds now. Adds nodes where a write has passed through another window. May fail with E204.
  ValueId read(Id id);
  // `node` writes `value` into the tensor. Fails with E204 where no operators can say what the other windows see then.
  void write(Id id, ValueId value, const ForeignNode& node);

 private:
  struct Storage {
    Origin origin;
    std::string name;  // a weight's or input's
    int version = 0;
    std::optional<ForeignNode> doubt = {};  // the window that may be a copy, after a write through it
  };
  struct Tensor {
    std::size_t storage;
    Id parent = -1;
    ForeignNode how;  // its first argument is the parent
    std::size_t output = 0;
    bool maybe = false;
    ValueId value = absent;
    int version = 0;
  };
  static std::size_t index(Id id) { return static_cast<std::size_t>(id); }
  std::vector<Id> windows(Id id) const;  // from the storage's own tensor to this one
  ValueId scatter(ValueId parent, const Tensor& window, ValueId value, const ForeignNode& node);

  Builder& builder_;
  Call call_;
  std::vector<Storage> storages_;
  std::vector<Tensor> tensors_;
};

// Whether the result of an ATen operator is a window on its first argument.
enum class Aliasing {
  copy,   // a storage of its own
  view,   // always a window
  maybe,  // a window where the strides allow it
};
Aliasing aliasing(std::string_view target);

// Whether the operator writes into its first argument: "aten.relu_.default".
bool is_in_place(std::string_view target);

// "aten.slice.Tensor" → "slice".
std::string_view base_name(std::string_view target);

}  // namespace wherry::pt2
