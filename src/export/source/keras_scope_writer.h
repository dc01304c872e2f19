// The writer of one class of Keras code: what keras_scope() runs for each use of a block. Its methods stand in keras_scope.cpp (names, and
// what holds in every use), keras_scope_init.cpp (constructors and weights) and keras_scope_call.cpp (repeated layers and call()).
#pragma once

#include "export/source/keras_scope.h"
#include "export/source/python_text.h"

namespace wherry::source {

inline std::size_t at(int i) { return static_cast<std::size_t>(i); }

bool is_free(const std::string& name);               // whether a layer may have an attribute of this name
std::string name_of_layer(const std::string& path);  // TensorFlow takes none that begins with '_'
bool zero_padding(const KerasNode& node);

class KerasScope {
 public:
  KerasScope(KerasContext& context, std::size_t index, std::string name);

  // Whether some layer of it does something else in training, as the use that was written last has it.
  bool trains() const;
  // As this use would write it.
  std::string write(int use);

 private:
  // ---- names --------------------------------------------------------------------------------------------------------
  const Step* step_of(const StepItems& items) const { return items.step < 0 ? nullptr : &scope_.steps[at(items.step)]; }
  const Use& used() const { return scope_.uses[at(use_)]; }
  // The item that bears the step's name: the one with weights, else the one that gives the result.
  static std::size_t main_item(const StepItems& items);
  void name_attributes();
  NameOf locals() const {
    return [this](std::string_view param) { return param == "index" ? "index" : params_.at(std::string(param)); };
  }
  // In call(): what __init__ keeps.
  NameOf kept();

  // ---- what holds in every use --------------------------------------------------------------------------------------
  bool dropped(const Item& item) const {
    return std::all_of(item.seen.begin(), item.seen.end(), [](const auto& s) { return zero_padding(*s.second.node); });
  }
  static std::vector<const KerasNode*> classes(const Item& item);
  // Whether the conditions that the layers come with tell, in each use, whether there is one and which.
  bool conditioned(const StepItems& items, const Item& item) const;
  bool everywhere(const StepItems& items, const Item& item) const { return item.seen.size() == items.results.size(); }
  // The classes that the code has for the item, seen from the use that is written; none: it has none here.
  std::vector<const KerasNode*> written_classes(const StepItems& items, const Item& item) const;
  bool exists(const StepItems& items, const Item& item) const { return !dropped(item) && !written_classes(items, item).empty(); }
  // As a use of that class has it: the one that is written where it is one.
  const Seen& seen_of(const Item& item, const std::string& layer) const;
  // Whether an entry's value follows from arguments in every use that has the layer.
  bool open(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const;
  // Where two values would do, the one that the others have.
  const KerasValue& settled(const Item& item, const std::string& layer, const KerasEntry& entry) const;
  // Whether a repetition is one that this use runs; where `when` leaves all of them out, those that others run stand in the code.
  bool is_run(const StepItems& items) const;
  bool left_out(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const;
  std::string entry_text(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry, const NameOf& names);
  void define(std::string_view definition);

  // ---- constructors -------------------------------------------------------------------------------------------------
  std::string guard(const Step& step) const {
    return step.layer->when && scope_.block && step.on ? python_value(*step.layer->when, locals()) : "";
  }
  // A layer that is off stands as an Identity where all that it would do is take one tensor and give one.
  bool stands_as_identity(const StepItems& items) const;
  std::string constructor(std::size_t s, std::size_t i, const KerasNode& node, const std::string& name);
  static std::size_t use_of_block(const KerasNode& node) {
    return static_cast<std::size_t>(std::get<std::int64_t>(std::get<Attr>(node.config.at(1).value)));
  }
  // Of layers one behind the other that are there under one condition: what it is, and the assignments.
  struct Conditioned {
    std::string condition;
    std::vector<std::pair<std::string, std::string>> made;  // attribute, value
  };
  void flush(PythonText& out, Conditioned& pending) const;
  void write_attribute(PythonText& out, Conditioned& pending, std::size_t s, std::size_t i, std::string condition);
  static std::string bracketed_or(const std::string& condition) {
    return condition.find(" or ") == std::string::npos ? condition : "(" + condition + ")";
  }
  void write_init(PythonText& all);
  bool has_layers(const StepItems& items) const;

  // ---- weights ------------------------------------------------------------------------------------------------------
  // Arrays that no layer of Keras has: relative keys and what the file holds for them.
  void name_weights();
  void refuse(const std::string& place, const std::string& message, const std::string& next) const;
  const Tensor& weight_in_file(const std::string& key) const;
  void write_build(PythonText& out) const;
  // self.gamma as the call takes it: its axes may lie in another order, with ones among them.
  std::string weight_text(const KerasTensor& tensor) const;
  // The attribute of another layer of the scope whose weights this one takes; "" where it has its own.
  std::string shared_attribute(std::size_t s, std::size_t i) const;
  static bool same_configuration(const KerasNode& a, const KerasNode& b);

  // ---- repeated layers ----------------------------------------------------------------------------------------------
  std::vector<std::size_t> repetitions(int step) const;
  // One layer or block each time, made alike.
  bool is_loop(int step);
  void write_loop_attribute(PythonText& out, std::size_t s);
  std::string loop_attribute(const Step& step) const;
  bool takes_one_of(int index) const;

  // ---- call ---------------------------------------------------------------------------------------------------------
  const Ref& followed(const Ref& ref) const;
  std::string number_or_constant(const StepItems& items, const Item& item, std::size_t place, const KerasTensor& tensor);
  // An operand as the item's richest use has it, where this use differs only by what it leaves out.
  const Operand& operand_of(const StepItems& items, const Item& item, std::size_t place) const;
  struct StepTexts {
    const StepItems& items;
    std::size_t index;
    std::string before;              // the variable of the repetition before
    std::vector<std::string> texts;  // of items that have a variable
    std::vector<int> takers;         // of items
  };
  void count(StepTexts& step, const Operand& operand);
  std::size_t operands(const Item& item) const;
  std::string text_of(PythonText& out, StepTexts& step, const Operand& operand, const Item* taker, std::size_t place);
  // A variable for an item: "take", or the layer's name.
  std::string word_of(const StepTexts& step, std::size_t index) const;
  // Operands that do not fit one row with the sign between them get names.
  void name_long(PythonText& out, StepTexts& step, std::size_t index, std::vector<std::string>& given);
  std::string call_text(PythonText& out, StepTexts& step, std::size_t index);
  // Keras hands `training` on by itself on some backends only.
  bool trains_item(const StepItems& items, const Item& item) const;
  std::string training(const StepItems& items, const Item& item) const { return trains_item(items, item) ? ", training=training" : ""; }
  PythonText write_call();
  std::vector<Operand> results_of(const StepItems& items) const;
  // The same with what this use leaves out, where a condition says so.
  std::vector<Operand> richer(const StepItems& items, const std::vector<Operand>& own) const;
  static bool is_there(const Operand& result) { return result.kind != Operand::value || result.before || result.ref.kind != Ref::absent; }
  void write_step(PythonText& out, std::size_t s);
  void write_result(PythonText& out, StepTexts& texts, const Step& step, const std::vector<Operand>& results);
  std::string flag_of(const Step& step);
  void write_loop(PythonText& out, std::size_t s);
  void write_return(PythonText& out, StepTexts& texts, const std::vector<Operand>& results);
  void docstring(PythonText& out) const;

  KerasContext& context_;
  const std::size_t index_;
  const Scope& scope_;
  const std::vector<KerasGraph>& graphs_;
  const std::map<std::string, std::string>& params_;
  const std::string name_;
  std::vector<StepItems> steps_;
  Names names_;  // of call()
  Names names_of_attributes_;
  Variables variables_;
  std::vector<std::optional<Ref>> alias_;
  std::vector<std::vector<std::string>> attributes_, layer_names_;           // by steps_ and item
  std::map<std::string, std::pair<std::string, std::string>> weight_names_;  // relative key → attribute, a key in the file
  std::map<std::string, std::string> kept_;                                  // attribute → parameter
  std::vector<std::pair<std::string, std::string>> flags_;                   // attribute → condition
  int use_ = 0;
};

}  // namespace wherry::source
