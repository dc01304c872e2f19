#include "import/onnx/read_onnx.h"

#include "import/onnx/importer.h"

namespace wherry {

namespace {

onnx::ModelDef read_messages(const MappedFile& file) {
  const auto damaged = [&](const char* how) {
    fail({.code = "E102",
          .message = fmt::format("'{}' is no ONNX model, or it is cut or damaged: {}", file.path().string(), how),
          .next = "copy the file again, or export it again; onnx.checker.check_model says more"});
  };
  onnx::ModelDef model;
  try {
    model = onnx::read_model(file.text());
  } catch (const wire::Fault&) {
    damaged("its bytes are no protocol buffer messages");
  }
  if (!model.has_graph) damaged("it has no graph");
  return model;
}

}  // namespace

Graph read_onnx(const std::filesystem::path& path, const OpTable& ops, const std::map<std::string, std::int64_t>& dims,
                Diagnostics& diagnostics) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const onnx::ModelDef model = read_messages(*file);
  onnx::TensorReader tensors(file);
  return onnx::Importer(model, tensors, ops, dims, diagnostics).run(path.stem().string());
}

}  // namespace wherry
