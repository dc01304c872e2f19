#include "data/dataset.h"

#include "base/files.h"
#include "base/text.h"
#include "data/table.h"

#include <cstring>

namespace wherry {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void empty(const fs::path& path, const std::string& what) {
  fail({.code = "E801", .message = fmt::format("'{}' {}", path.string(), what)});
}

bool is_hidden(const fs::path& relative) {
  return std::any_of(relative.begin(), relative.end(), [](const fs::path& part) { return part.string().starts_with("."); });
}

bool is_labels(const NamedArray& array) {
  static const std::vector<std::string> names = {"labels", "label", "targets", "y"};
  return is_integer(array.tensor.dtype()) && array.tensor.rank() == 1 && std::find(names.begin(), names.end(), array.name) != names.end();
}

bool is_images(const Tensor& tensor) {
  const Sizes& sizes = tensor.sizes();
  return tensor.dtype() == DType::uint8 &&
         (sizes.size() == 3 || (sizes.size() == 4 && (sizes[3] == 3 || sizes[3] == 1 || sizes[1] == 3 || sizes[1] == 1)));
}

// One sample as bytes [h, w, 3].
Image to_image(const Tensor& sample) {
  const Sizes& sizes = sample.sizes();
  Tensor hwc = sample.contiguous();
  if (sizes.size() == 3)
    hwc = hwc.reshaped({sizes[1], sizes[2], 1});
  else if (sizes[3] == 3 || sizes[3] == 1)
    hwc = hwc.reshaped({sizes[1], sizes[2], sizes[3]});
  else
    hwc = hwc.reshaped({sizes[1], sizes[2], sizes[3]}).permuted({1, 2, 0}).contiguous();
  Image image{static_cast<int>(hwc.sizes()[1]), static_cast<int>(hwc.sizes()[0]), {}};
  const auto bytes = hwc.as<std::uint8_t>();
  if (hwc.sizes()[2] == 3) {
    image.rgb.assign(bytes.begin(), bytes.end());
  } else {
    for (const std::uint8_t grey : bytes) image.rgb.insert(image.rgb.end(), 3, grey);
  }
  return image;
}

}  // namespace

void Dataset::read_folder() {
  std::error_code error;
  Diagnostics refused;
  for (fs::recursive_directory_iterator it(path_, fs::directory_options::follow_directory_symlink, error), end; !error && it != end;
       it.increment(error)) {
    const fs::path relative = it->path().lexically_relative(path_);
    if (is_hidden(relative) || !it->is_regular_file(error)) continue;
    if (is_image_name(relative))
      samples_.push_back({relative.generic_string(), "", it->path()});
    else if (is_any_image_name(relative))
      refused.add({.code = "E802", .message = fmt::format("'{}' is of a format that Wherry does not read", it->path().string())});
  }
  if (error) fail({.code = "E101", .message = fmt::format("'{}' cannot be read: {}", path_.string(), error.message())});
  refused.throw_if_errors();
  if (samples_.empty()) empty(path_, "holds no images (.jpg, .jpeg, .png, .webp)");
  std::sort(samples_.begin(), samples_.end(), [](const Sample& a, const Sample& b) { return a.name < b.name; });
}

void Dataset::read_list() {
  const Table table = read_table(path_);
  Diagnostics missing;
  const auto place = [&](const std::string& name) { return path_.parent_path() / name; };
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& cells = table.rows[row];
    std::error_code error;
    if (row == 0 && !is_any_image_name(cells[0]) && !fs::exists(place(cells[0]), error)) continue;  // a header
    if (!fs::is_regular_file(place(cells[0]), error))
      missing.add({.code = "E101",
                   .message = fmt::format("'{}', row {}: there is no file '{}'", path_.string(), row + 1, place(cells[0]).string())});
    samples_.push_back({cells[0], cells.size() > 1 ? cells[1] : "", place(cells[0])});
  }
  missing.throw_if_errors();
  if (samples_.empty()) empty(path_, "lists no files");
}

void Dataset::read_arrays() {
  arrays_ = read_npz(path_);
  std::optional<Tensor> labels;
  std::erase_if(arrays_, [&](const NamedArray& array) {
    if (!is_labels(array) || arrays_.size() == 1) return false;
    labels = array.tensor;
    return true;
  });
  if (arrays_.empty()) empty(path_, "holds no arrays");
  for (const NamedArray& array : arrays_) {
    const std::string what = fmt::format("array '{}' is {}", array.name, text(array.tensor.type()));
    if (array.tensor.rank() == 0 || array.tensor.count() == 0) empty(path_, "holds no samples: " + what);
    if (array.tensor.sizes()[0] != arrays_[0].tensor.sizes()[0])
      fail({.code = "E806",
            .message =
                fmt::format("'{}': {}, but '{}' has {} samples", path_.string(), what, arrays_[0].name, arrays_[0].tensor.sizes()[0])});
  }
  const std::int64_t count = arrays_[0].tensor.sizes()[0];
  if (labels && labels->count() != count)
    fail({.code = "E808", .message = fmt::format("'{}' holds {} labels for {} samples", path_.string(), labels->count(), count)});
  images_ = arrays_.size() == 1 && is_images(arrays_[0].tensor);
  for (std::int64_t i = 0; i < count; ++i) {
    samples_.push_back({fmt::format("{}[{}]", path_.filename().string(), i), labels ? fmt::format("{:.0f}", labels->item(i)) : "", {}});
    rows_.push_back(static_cast<std::size_t>(i));
  }
}

std::shared_ptr<const Dataset> Dataset::open(const fs::path& path) {
  auto dataset = std::make_shared<Dataset>();
  dataset->path_ = path;
  std::error_code error;
  const std::string suffix = path.extension().string();
  if (fs::is_directory(path, error))
    dataset->read_folder();
  else if (!fs::exists(path, error))
    fail({.code = "E101",
          .message = fmt::format("there is no '{}'", path.string()),
          .next = "name a folder of images, a list of files, an .npy or an .npz"});
  else if (suffix == ".npy" || suffix == ".npz")
    dataset->read_arrays();
  else if (suffix == ".txt" || suffix == ".csv" || suffix == ".tsv")
    dataset->read_list();
  else if (is_image_name(path))
    dataset->samples_.push_back({path.filename().string(), "", path});
  else
    fail({.code = "E107",
          .message = fmt::format("'{}' is no data that Wherry reads", path.string()),
          .next = "name a folder of images, a list of files (.txt, .csv, .tsv), an .npy or an .npz"});
  return dataset;
}

std::shared_ptr<const Dataset> Dataset::evenly(std::size_t count) const {
  auto part = std::make_shared<Dataset>(*this);
  if (count == 0 || count >= size()) return part;
  part->samples_.clear();
  part->rows_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t from = i * size() / count;
    part->samples_.push_back(samples_[from]);
    if (!rows_.empty()) part->rows_.push_back(rows_[from]);
  }
  return part;
}

Image Dataset::image(std::size_t i) const { return images_ ? to_image(slices(i)[0].tensor) : read_image(sample(i).file); }

std::vector<NamedArray> Dataset::arrays(std::size_t i) const { return slices(i); }

std::vector<NamedArray> Dataset::slices(std::size_t i) const {
  std::vector<NamedArray> out;
  for (const NamedArray& array : arrays_) {
    const Tensor& all = array.tensor;
    Sizes sizes = all.sizes();
    sizes[0] = 1;
    const std::size_t step = static_cast<std::size_t>(all.strides()[0]) * byte_size(all.dtype());
    out.push_back({array.name, Tensor(all.dtype(), sizes, all.strides(), all.data() + rows_.at(i) * step, std::make_shared<Tensor>(all))});
  }
  return out;
}

}  // namespace wherry
