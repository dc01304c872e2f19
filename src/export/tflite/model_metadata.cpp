#include "export/tflite/model_metadata.h"

#include "base/text.h"
#include "export/stored_zip.h"
#include "tflite_schema/metadata_generated.h"

namespace wherry {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

struct Image {
  std::int64_t height, width, channels;
};

// The picture that a tensor holds, whichever end its channels stand at.
std::optional<Image> image(const TflTensor& tensor) {
  const Sizes& s = tensor.sizes;
  if (s.size() != 4) return std::nullopt;
  if (s[3] == 3 || s[3] == 1) return Image{s[1], s[2], s[3]};
  if (s[1] == 3 || s[1] == 1) return Image{s[2], s[3], s[1]};
  return std::nullopt;
}

Offset<tflite::Content> image_content(FlatBufferBuilder& builder, const Image& picture) {
  const auto size = tflite::CreateImageSize(builder, static_cast<std::uint32_t>(picture.width), static_cast<std::uint32_t>(picture.height));
  const auto colours = picture.channels == 3 ? tflite::ColorSpaceType::RGB : tflite::ColorSpaceType::GRAYSCALE;
  const auto properties = tflite::CreateImageProperties(builder, colours, size);
  return tflite::CreateContent(builder, tflite::ContentProperties::ImageProperties, properties.Union());
}

Offset<tflite::ProcessUnit> normalization(FlatBufferBuilder& builder, const TfliteMetadata& metadata) {
  const auto options = tflite::CreateNormalizationOptionsDirect(builder, &metadata.mean, &metadata.std);
  return tflite::CreateProcessUnit(builder, tflite::ProcessUnitOptions::NormalizationOptions, options.Union());
}

Offset<tflite::TensorMetadata> input(FlatBufferBuilder& builder, const std::string& name, const std::optional<Image>& picture,
                                     const TfliteMetadata& metadata) {
  if (!picture) return tflite::CreateTensorMetadataDirect(builder, name.c_str());
  const auto content = image_content(builder, *picture);
  std::vector<Offset<tflite::ProcessUnit>> units;
  if (!metadata.mean.empty()) units.push_back(normalization(builder, metadata));
  return tflite::CreateTensorMetadataDirect(builder, name.c_str(), nullptr, nullptr, content, units.empty() ? nullptr : &units);
}

Offset<tflite::TensorMetadata> output(FlatBufferBuilder& builder, const std::string& name, bool labelled) {
  if (!labelled) return tflite::CreateTensorMetadataDirect(builder, name.c_str());
  const std::string file(tflite_label_file);
  const std::vector<Offset<tflite::AssociatedFile>> files = {tflite::CreateAssociatedFileDirect(
      builder, file.c_str(), "the classes by number, one a line", tflite::AssociatedFileType::TENSOR_AXIS_LABELS)};
  return tflite::CreateTensorMetadataDirect(builder, name.c_str(), nullptr, nullptr, 0, nullptr, 0, &files);
}

}  // namespace

std::string model_metadata(const TflGraph& graph, const TfliteMetadata& metadata) {
  FlatBufferBuilder builder;
  bool found = false;
  std::vector<Offset<tflite::TensorMetadata>> inputs, outputs;
  for (const Port& port : graph.inputs) {
    const auto picture = found ? std::nullopt : image(graph.tensors[static_cast<std::size_t>(port.value)]);
    found = found || picture.has_value();
    inputs.push_back(input(builder, port.name, picture, metadata));
  }
  for (const Port& port : graph.outputs) outputs.push_back(output(builder, port.name, !metadata.labels.empty() && outputs.empty()));
  const std::vector<Offset<tflite::SubGraphMetadata>> graphs = {
      tflite::CreateSubGraphMetadataDirect(builder, graph.name.c_str(), nullptr, &inputs, &outputs)};
  const char* description = metadata.description.empty() ? nullptr : metadata.description.c_str();
  const auto root =
      tflite::CreateModelMetadataDirect(builder, graph.name.c_str(), description, nullptr, &graphs, nullptr, nullptr, nullptr, "1.0.0");
  tflite::FinishModelMetadataBuffer(builder, root);
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

void append_associated_files(const TfliteMetadata& metadata, AtomicFile& file) {
  if (metadata.labels.empty()) return;
  StoredZip zip(file);
  zip.add(std::string(tflite_label_file), join(metadata.labels, "\n") + "\n");
  zip.finish();
}

}  // namespace wherry
