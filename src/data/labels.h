// Which class a sample belongs to, and what classes are called.
#pragma once

#include "data/dataset.h"

namespace wherry {

// The classes in the order of the model's outputs. Lists are empty or have one entry for each class.
struct Classes {
  std::vector<std::string> names;
  std::vector<std::string> wordnet;  // n01440764
  std::vector<std::int64_t> devkit;  // ILSVRC2012_ID, 1 to 1000: the order of the ILSVRC devkit
  std::size_t size() const { return std::max(names.size(), wordnet.size()); }
  std::string name(std::size_t index) const;  // "tench", or "class 0"
};

// What --labels names, by its content; several files may be given.
//   a table of classes   columns named class (or index), wnid, name, ilsvrc2012_id in a first row; or one name a line for `outputs` lines
//   labels of files      two columns: a file of the data, and its label
//   labels in order      one label a line, one line a sample, in the data's order: the ILSVRC ground truth has the validation set's
struct LabelFiles {
  Classes classes;
  std::vector<std::string> of_samples;  // by sample; "": not said
  bool devkit_order = false;            // of_samples are ILSVRC2012_IDs, since they come as a ground truth of the devkit
};
LabelFiles read_label_files(const std::vector<std::filesystem::path>& files, const Dataset& dataset, std::size_t outputs,
                            Diagnostics& diagnostics);

// The class of every sample, or nothing where no sample has a label. A label is, in this order: what a list or file says, the
// folder that the file lies in, a WordNet id in the file's name. It is read as a WordNet id, a class index, or a class's name (case,
// '_' and synonyms behind a comma do not matter). WordNet ids without a table are in their alphabetical order when the data have one
// for each output. Whatever does not fit is E808, counted and with examples: a warning and nothing found where all labels are folders'
// or files' names, none fits, and no table was given (the names need not be labels).
struct Truth {
  std::vector<std::size_t> of_samples;
  std::string from;  // "the folders' names", for reports
};
std::optional<Truth> find_truth(const Dataset& dataset, const LabelFiles& files, std::size_t outputs, Diagnostics& diagnostics);

// Whether labels and predictions disagree because classes are counted in another order: asked when accuracy is near chance.
struct OrderFinding {
  std::string order;    // "the outputs count from 1, behind a background class"
  double accuracy = 0;  // what it would be
  std::vector<std::size_t> class_of_output;
};
// Tries the known orders (names or numbers sorted as words, WordNet ids, the devkit's numbers, off by one); then, where samples
// suffice, any permutation: learnt on one half of them and scored on the other.
std::optional<OrderFinding> find_order(const std::vector<std::size_t>& truth, const std::vector<std::size_t>& predicted,
                                       const Classes& classes, std::size_t outputs);

}  // namespace wherry
