#include "data/labels.h"

#include "base/text.h"
#include "data/table.h"

#include <charconv>
#include <set>

namespace wherry {

namespace {

bool is_wordnet(std::string_view word) {
  return word.size() == 9 && word[0] == 'n' && std::all_of(word.begin() + 1, word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::int64_t> integer(std::string_view word) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() ? std::optional(value) : std::nullopt;
}

// Names as they are compared.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, name.find(','))) {
    const char lower = c == '_' || c == '-' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower != ' ' || (!out.empty() && out.back() != ' ')) out += lower;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string wordnet_in(const std::string& file_name) {
  std::string word;
  for (const char c : file_name + "_") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += c;
    } else {
      if (is_wordnet(word)) return word;
      word.clear();
    }
  }
  return "";
}

using Lookup = std::map<std::string, std::ptrdiff_t, std::less<>>;  // -1: not unique

Lookup lookup(const std::vector<std::string>& names, std::string (*form)(std::string_view)) {
  Lookup found;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [at, is_new] = found.try_emplace(form(names[i]), static_cast<std::ptrdiff_t>(i));
    if (!is_new) at->second = -1;
  }
  return found;
}

class ClassTableReader {
 public:
  ClassTableReader(const Table& table, const std::filesystem::path& file, Diagnostics& diagnostics)
      : table_(table), file_(file), diagnostics_(diagnostics) {
    for (std::size_t i = 0; i < table.rows[0].size(); ++i) columns_[plain(table.rows[0][i])] = i;
  }
  bool applies() const { return column({"wnid", "wordnet", "synset"}) || (column({"class", "index"}) && column({"name", "label"})); }

  Classes read() {
    Classes classes;
    const std::size_t count = table_.rows.size() - 1;
    const auto index = column({"class", "index", "class index"}), name = column({"name", "label"}),
               wordnet = column({"wnid", "wordnet", "synset"}), devkit = column({"ilsvrc2012 id", "devkit", "devkit id"});
    if (name) classes.names.resize(count);
    if (wordnet) classes.wordnet.resize(count);
    if (devkit) classes.devkit.resize(count);
    for (std::size_t row = 0; row < count; ++row) {
      const std::vector<std::string>& cells = table_.rows[row + 1];
      const std::size_t place = index ? static_cast<std::size_t>(number(cells, *index, row, static_cast<std::int64_t>(count) - 1)) : row;
      if (place >= count) continue;
      if (name && *name < cells.size()) classes.names[place] = cells[*name];
      if (wordnet && *wordnet < cells.size()) classes.wordnet[place] = cells[*wordnet];
      if (devkit) classes.devkit[place] = number(cells, *devkit, row, std::numeric_limits<std::int32_t>::max());
    }
    return classes;
  }

 private:
  std::optional<std::size_t> column(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names)
      if (const auto at = columns_.find(name); at != columns_.end()) return at->second;
    return std::nullopt;
  }
  std::int64_t number(const std::vector<std::string>& cells, std::size_t column, std::size_t row, std::int64_t most) {
    const std::optional<std::int64_t> value = column < cells.size() ? integer(cells[column]) : std::nullopt;
    if (value && *value >= 0 && *value <= most) return *value;
    diagnostics_.add(
        {.code = "E808", .message = fmt::format("'{}', row {}: a number from 0 to {} is wanted", file_.string(), row + 2, most)});
    return most;
  }
  const Table& table_;
  const std::filesystem::path& file_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::size_t, std::less<>> columns_;
};

// Rows (file, label) for the data's files, by name or by the last part of it.
bool read_file_labels(const Table& table, const Dataset& dataset, std::vector<std::string>& labels) {
  std::map<std::string, std::string, std::less<>> by_name;
  for (const std::vector<std::string>& cells : table.rows)
    if (cells.size() > 1) by_name[cells[0]] = cells[1];
  std::vector<std::string> found(dataset.size());
  bool any = false;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::filesystem::path name = dataset.sample(i).name;
    for (const std::string& key : {name.generic_string(), name.filename().string(), name.stem().string()})
      if (const auto at = by_name.find(key); at != by_name.end() && found[i].empty()) found[i] = at->second;
    any = any || !found[i].empty();
  }
  if (any) labels = found;
  return any;
}

}  // namespace

std::string Classes::name(std::size_t index) const {
  if (index < names.size() && !names[index].empty()) return names[index];
  if (index < wordnet.size()) return wordnet[index];
  return fmt::format("class {}", index);
}

LabelFiles read_label_files(const std::vector<std::filesystem::path>& files, const Dataset& dataset, std::size_t outputs,
                            Diagnostics& diagnostics) {
  LabelFiles result;
  for (const std::filesystem::path& file : files) {
    const Table table = read_table(file);
    if (table.rows.empty()) {
      diagnostics.add({.code = "E808", .message = fmt::format("'{}' is empty", file.string())});
      continue;
    }
    ClassTableReader classes(table, file, diagnostics);
    const bool all_numbers =
        std::all_of(table.rows.begin(), table.rows.end(), [](const auto& row) { return row.size() == 1 && integer(row[0]); });
    const auto first_cells = [&] {
      std::vector<std::string> cells;
      for (const auto& row : table.rows) cells.push_back(join(row, " "));
      return cells;
    };
    if (classes.applies()) {
      result.classes = classes.read();
    } else if (read_file_labels(table, dataset, result.of_samples)) {
      continue;
    } else if (table.rows.size() == dataset.size() && (all_numbers || table.rows.size() != outputs)) {
      result.of_samples = first_cells();
      result.devkit_order = all_numbers && file.filename().string().find("ILSVRC") != std::string::npos;
    } else if (table.rows.size() == outputs && !all_numbers) {
      result.classes.names = first_cells();
    } else {
      diagnostics.add({.code = "E808",
                       .message = fmt::format("'{}' has {} rows: neither one for each of the {} outputs, nor one for each of the {} "
                                              "samples, nor names of files of the data",
                                              file.string(), table.rows.size(), outputs, dataset.size())});
    }
  }
  return result;
}

namespace {

class TruthFinder {
 public:
  TruthFinder(const Dataset& dataset, const LabelFiles& files, std::size_t outputs)
      : dataset_(dataset),
        files_(files),
        outputs_(outputs),
        names_(lookup(files.classes.names, plain)),
        wordnet_(lookup(files.classes.wordnet, [](std::string_view word) { return std::string(word); })) {
    for (std::size_t i = 0; i < dataset.size(); ++i) words_.push_back(word_of(i));
    sort_wordnet();
  }

  std::optional<Truth> find(Diagnostics& diagnostics) const {
    if (std::all_of(words_.begin(), words_.end(), [](const std::string& word) { return word.empty(); })) return std::nullopt;
    Truth truth{.of_samples = {}, .from = from_};
    std::size_t refused = 0;
    std::vector<std::string> examples;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      std::string reason;
      const std::optional<std::size_t> index = class_of(words_[i], reason);
      truth.of_samples.push_back(index.value_or(0));
      if (index) continue;
      if (++refused <= 3) examples.push_back(fmt::format("'{}': {}", dataset_.sample(i).name, reason));
    }
    if (refused == 0) return truth;
    const bool nothing_says_so = refused == words_.size() && from_names_ && files_.of_samples.empty() && files_.classes.size() == 0;
    diagnostics.add({.code = "E808",
                     .message = fmt::format("{} of {} labels do not fit the model's {} outputs: {}", refused, words_.size(), outputs_,
                                            join(examples, "; ")),
                     .next = wordnet_.empty() ? "give a table of the classes: --labels TABLE.tsv with columns class, wnid, name" : "",
                     .severity = nothing_says_so ? Severity::warning : Severity::error});
    if (nothing_says_so) return std::nullopt;
    return truth;
  }

 private:
  std::string word_of(std::size_t i) {
    if (i < files_.of_samples.size() && !files_.of_samples[i].empty()) return from_ = "the labels' file", files_.of_samples[i];
    const Dataset::Sample& sample = dataset_.sample(i);
    if (!sample.label.empty()) return from_ = "the data's list", sample.label;
    const std::filesystem::path name = sample.name;
    if (name.has_parent_path() && name.is_relative()) return from_names_ = true, from_ = "the folders' names", name.begin()->string();
    const std::string id = wordnet_in(name.stem().string());
    if (!id.empty()) from_names_ = true, from_ = "the files' names";
    return id;
  }

  // A folder for each class, as torchvision's ImageFolder counts them.
  void sort_wordnet() {
    if (!wordnet_.empty()) return;
    const std::set<std::string> ids(words_.begin(), words_.end());
    if (ids.size() != outputs_ || !std::all_of(ids.begin(), ids.end(), is_wordnet)) return;
    for (const std::string& id : ids) wordnet_.try_emplace(id, static_cast<std::ptrdiff_t>(wordnet_.size()));
  }

  std::optional<std::size_t> class_of(const std::string& word, std::string& reason) const {
    std::ptrdiff_t index = -1;
    if (word.empty()) return reason = "has no label", std::nullopt;
    if (is_wordnet(word)) {
      const auto at = wordnet_.find(word);
      if (at == wordnet_.end())
        return reason =
                   wordnet_.empty() ? fmt::format("no table says what {} is", word) : fmt::format("the table has no WordNet id {}", word),
               std::nullopt;
      index = at->second;
    } else if (const std::optional<std::int64_t> number = integer(word)) {
      index = from_devkit(*number);
    } else if (const auto at = names_.find(plain(word)); at != names_.end()) {
      if (at->second < 0)
        return reason = fmt::format("'{}' is the name of several classes; use their indices or WordNet ids", word), std::nullopt;
      index = at->second;
    } else {
      return reason = fmt::format("no class is called '{}'", word), std::nullopt;
    }
    if (index < 0 || static_cast<std::size_t>(index) >= outputs_)
      return reason = fmt::format("'{}' is class {}, outside 0 to {}", word, index, outputs_ - 1), std::nullopt;
    return static_cast<std::size_t>(index);
  }

  std::ptrdiff_t from_devkit(std::int64_t number) const {
    if (!files_.devkit_order || files_.classes.devkit.empty()) return static_cast<std::ptrdiff_t>(number);
    const auto at = std::find(files_.classes.devkit.begin(), files_.classes.devkit.end(), number);
    return at == files_.classes.devkit.end() ? -1 : at - files_.classes.devkit.begin();
  }

  const Dataset& dataset_;
  const LabelFiles& files_;
  std::size_t outputs_;
  Lookup names_, wordnet_;
  std::vector<std::string> words_;
  std::string from_;
  bool from_names_ = false;  // nobody wrote them down as labels
};

}  // namespace

std::optional<Truth> find_truth(const Dataset& dataset, const LabelFiles& files, std::size_t outputs, Diagnostics& diagnostics) {
  if (files.classes.size() != 0 && files.classes.size() != outputs)
    diagnostics.add({.code = "E808",
                     .message = fmt::format("the table has {} classes, the model {} outputs", files.classes.size(), outputs),
                     .next = files.classes.size() + 1 == outputs
                                 ? "the model has a background class: give a table with a row for it in front"
                                 : "give the table of the classes that the model was trained on"});
  return TruthFinder(dataset, files, outputs).find(diagnostics);
}

}  // namespace wherry
