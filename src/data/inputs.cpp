#include "data/inputs.h"

#include "base/check.h"
#include "base/text.h"

namespace wherry {

namespace {

// [n, c, h, w] → [n, h, w, c], and back.
const std::vector<int> to_last = {0, 2, 3, 1}, to_first = {0, 3, 1, 2};

Sizes behind_first(const Sizes& sizes) { return {sizes.begin() + 1, sizes.end()}; }

std::vector<Dim> permuted(const Shape& shape, const std::vector<int>& axes) {
  std::vector<Dim> out;
  for (const int axis : axes) out.push_back(shape[static_cast<std::size_t>(axis)]);
  return out;
}

bool fits(const Sizes& samples, const Shape& shape) {
  return samples.size() == shape.size() && behind_first(samples) == behind_first(sizes(shape));
}

}  // namespace

Inputs::Inputs(std::shared_ptr<const Dataset> dataset, std::vector<InputPort> ports, std::optional<Preprocess> preprocess,
               Diagnostics& diagnostics)
    : dataset_(std::move(dataset)), ports_(std::move(ports)), preprocess_(std::move(preprocess)) {
  if (dataset_->holds_images())
    check_images(diagnostics);
  else
    check_arrays(diagnostics);
}

std::string Inputs::listing() const {
  std::vector<std::string> parts;
  for (const InputPort& port : ports_) parts.push_back(fmt::format("{}: {}", port.name, text(port.type)));
  return "the model takes " + join(parts, ", ");
}

void Inputs::check_images(Diagnostics& diagnostics) {
  const Shape shape = ports_.size() == 1 ? ports_[0].type.shape : Shape{};
  const bool takes_image = shape.size() == 4 && is_static(shape) && shape[0] == Dim(1) && shape[ports_[0].channels_last ? 3 : 1] == Dim(3);
  if (!takes_image) {
    diagnostics.add(
        {.code = "E806",
         .message = fmt::format("'{}' holds images, and the model does not take one image of three channels", dataset_->path().string()),
         .in = listing(),
         .next = "give an .npz with an array for each input"});
    return;
  }
  if (!preprocess_) {
    diagnostics.add(
        {.code = "E809",
         .message = fmt::format("'{}' holds images, and nothing says how they become the model's input", dataset_->path().string())});
    return;
  }
  const Sizes wanted = sizes(ports_[0].channels_last ? shape : permuted(shape, to_last));
  const std::vector<int>& given = preprocess_->crop.empty() ? preprocess_->resize : preprocess_->crop;
  if (given.size() == 2 && (given[0] != wanted[1] || given[1] != wanted[2]))
    diagnostics.add({.code = "E806",
                     .message = fmt::format("the preprocessing gives {} x {} pixels, the model takes {} x {}", given[0], given[1],
                                            wanted[1], wanted[2]),
                     .in = listing(),
                     .next = "correct center_crop or resize in the text's preprocess"});
  table_.emplace(*preprocess_, PixelForm{ports_[0].type.dtype, ports_[0].channels_last, ports_[0].scale, ports_[0].zero_point});
}

void Inputs::check_arrays(Diagnostics& diagnostics) {
  const std::vector<NamedArray>& arrays = dataset_->all_arrays();
  const auto refuse = [&](const std::string& what) {
    diagnostics.add({.code = "E806", .message = fmt::format("'{}' {}", dataset_->path().string(), what), .in = listing()});
  };
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const InputPort& port = ports_[i];
    auto array = std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& a) { return a.name == port.name; });
    if (array == arrays.end() && arrays.size() != ports_.size())
      return refuse(fmt::format("has no array '{}', and {} arrays for {} inputs", port.name, arrays.size(), ports_.size()));
    if (array == arrays.end()) array = arrays.begin() + static_cast<std::ptrdiff_t>(i);
    array_.push_back(static_cast<std::size_t>(array - arrays.begin()));
    const Tensor& all = array->tensor;
    const Shape& shape = port.type.shape;
    WHERRY_CHECK(is_static(shape), "an input {} of open size", text(port.type));
    const bool turned = shape.size() == 4 && fits(all.sizes(), permuted(shape, port.channels_last ? to_first : to_last));
    if (shape.empty() || shape[0] != Dim(1) || (!fits(all.sizes(), shape) && !turned))
      refuse(fmt::format("gives {} for the input '{}'", text(all.type()), port.name));
    else if (is_float(all.dtype()) != (is_float(port.type.dtype) || port.scale))
      refuse(fmt::format("gives {} for the input '{}', which takes {}", name(all.dtype()), port.name,
                         is_float(all.dtype()) ? "integers" : "real numbers"));
    else if (preprocess_ && is_float(all.dtype()))
      check_statistics(*preprocess_, channel_statistics(*dataset_, array_.back()),
                       fmt::format("array '{}' of '{}'", array->name, dataset_->path().string()), diagnostics);
  }
}

Image Inputs::fitted(const Image& decoded, std::size_t i) const {
  Image image = apply_geometry(decoded, *preprocess_);
  const Sizes wanted = sizes(ports_[0].type.shape);
  const std::int64_t height = wanted[ports_[0].channels_last ? 1 : 2], width = wanted[ports_[0].channels_last ? 2 : 3];
  if (image.height != height || image.width != width)
    fail({.code = "E806",
          .message = fmt::format("'{}' has {} x {} pixels after the preprocessing, the model takes {} x {}", dataset_->sample(i).name,
                                 image.height, image.width, height, width),
          .next = "add 'center_crop' or 'resize: [height, width]' to the text's preprocess"});
  return image;
}

Tensor Inputs::from_image(const Image& image) const { return table_->apply(image); }

Tensor Inputs::from_array(const Tensor& sample, const InputPort& port) const {
  const Shape& shape = port.type.shape;
  Tensor tensor = fits(sample.sizes(), shape) ? sample : sample.permuted(port.channels_last ? to_last : to_first);
  if (!port.scale || !is_float(tensor.dtype())) return tensor.contiguous().cast(port.type.dtype);
  Tensor levels = tensor.contiguous().cast(DType::float32);
  const auto reals = levels.as<float>();
  std::vector<float> rounded(reals.size());
  const double least = port.type.dtype == DType::uint8 ? 0 : port.type.dtype == DType::int16 ? -32768 : -128;
  const double most = port.type.dtype == DType::uint8 ? 255 : port.type.dtype == DType::int16 ? 32767 : 127;
  for (std::size_t i = 0; i < reals.size(); ++i)
    rounded[i] = static_cast<float>(
        std::clamp(std::round(static_cast<double>(reals[i]) / *port.scale) + static_cast<double>(port.zero_point), least, most));
  return Tensor::from(rounded, levels.sizes()).cast(port.type.dtype);
}

std::vector<Tensor> Inputs::load(std::size_t i) const {
  if (from_images()) return {from_image(fitted(dataset_->image(i), i))};
  const std::vector<NamedArray> arrays = dataset_->arrays(i);
  std::vector<Tensor> out;
  for (std::size_t port = 0; port < ports_.size(); ++port) out.push_back(from_array(arrays[array_[port]].tensor, ports_[port]));
  return out;
}

}  // namespace wherry
