// The form that people read: named blocks with parameters. Text in YAML or JSON is this structure and nothing else.
#pragma once

#include "base/diagnostics.h"
#include "ir/graph.h"

#include <filesystem>
#include <map>
#include <memory>
#include <utility>

namespace wherry {

// A value as written in the text: a scalar (number, word, expression like "$kernel // 2"), a list or a map.
struct TextMember;
struct TextValue {
  enum Kind { null, boolean, integer, number, string, list, map } kind = null;
  bool boolean_value = false;
  std::int64_t integer_value = 0;
  double number_value = 0;
  std::string string_value;
  std::vector<TextValue> items;
  std::vector<TextMember> members;
  int line = 0, column = 0;          // where it stands; 0 when it was not read from a file
  int key_line = 0, key_column = 0;  // where its key stands, if it is a map's member

  static TextValue of(const Attr& attr);  // as the text writes an attribute; a data type is its name
  static TextValue empty_map();
  void put(std::string key, TextValue value);  // a map's member, behind the others
  const TextValue* find(std::string_view key) const;
  bool operator==(const TextValue& other) const;  // positions do not count
};

struct TextMember {  // not a pair: a pair of an unfinished type is more than clang takes
  std::string first;
  TextValue second;
  bool operator==(const TextMember&) const = default;
};

struct Param {
  std::string name;
  std::string kind;  // "int", "float", "bool", "string", "ints" where no default says it
  std::optional<TextValue> fallback;
  int line = 0, column = 0;
};

struct Layer {
  std::string name;       // may be a path of its own: "backbone.stages.xif2_0"
  std::string op, block;  // one of the two
  // Empty: the layer before. Each is one of
  //   conv, split:1                   a layer of the same block, one output of it (":0" may be left out)
  //   $input, $image                  an input of the block, of the model
  //   2, 0.5, $scale                  a scalar constant. It takes the data type of the layer's first tensor input if that is a
  //                                   float type or the number is an integer; else it is float32 (an integer alone: int64)
  //   {constant: [1, 2], dtype: int64}      a small constant; a list of lists has two axes
  //   {weight: key, type: "float32[1, 8]"}  a weight that is no operator's parameter; ".key" is relative to the block's path
  //   null                            an optional input that is absent
  // They stand for the operator's inputs without its parameters; more than those: for all its inputs in order.
  std::vector<TextValue> inputs;
  // A layer whose `when` does not hold passes on the first of its inputs that is a layer's, else the first, to whatever names
  // it or follows it. `sum: {op: add, inputs: [$input, pwl], when: …}` passes pwl on; where `downsample: {inputs: $input,
  // when: …}` is off, ResNet's `sum: {op: add, inputs: [bn2, downsample]}` takes the block's input.
  std::optional<TextValue> when, repeat;
  std::vector<std::pair<std::string, TextValue>> weights;  // another key than path + "." + name: {weight: embed.weight};
                                                           // {"": layer}: all from that layer. ".key" is relative to the block's path
  std::vector<std::pair<std::string, TextValue>> args;     // hyperparameters
  int line = 0, column = 0;
  int word_line = 0, word_column = 0;  // of the operator's or block's name
};

struct Block {
  std::string name, doc;
  std::vector<Param> params;
  std::vector<std::string> inputs = {"input"};
  std::vector<Layer> layers;
  std::vector<std::pair<std::string, std::string>> outputs;  // empty: the last layer
  int line = 0, column = 0;
  int outputs_line = 0, outputs_column = 0;
  std::string library;         // the library it was read from; "": the model's own text
  std::filesystem::path file;  // of that library
  std::shared_ptr<const std::vector<std::string>> text_lines;
};

struct ModelInput {
  std::string name;
  Type type;
  int line = 0, column = 0;
};

struct Model {
  std::string name;
  std::filesystem::path file;              // where it was read from; weights are relative to it
  std::vector<std::string> text_lines;     // for carets
  std::string weights;                     // file beside the text; "" : none given
  std::vector<std::string> use;            // block libraries
  TextValue preprocess, labels, metadata;  // null when absent; read by data/ and the exporters
  TextValue quantization;                  // null when absent; read by quantize/
  std::vector<Block> blocks;
  std::vector<ModelInput> inputs;
  std::vector<Layer> layers;
  std::vector<std::pair<std::string, std::string>> outputs;  // name → layer (or layer:1); empty: the last layer is "output"
  int outputs_line = 0, outputs_column = 0;
};

}  // namespace wherry
