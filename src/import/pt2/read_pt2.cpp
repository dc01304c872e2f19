#include "import/pt2/read_pt2.h"

#include "base/text.h"
#include "import/pt2/importer.h"

#include <fmt/format.h>

namespace wherry {

namespace {

// What the archive is, when it is not what torch.export.save writes.
[[noreturn]] void refuse_kind(const Archive& archive) {
  const std::string next = "export it with torch 2.13: torch.export.save(torch.export.export(module, args), path)";
  const auto refuse = [&](const char* code, std::string what) {
    fail({.code = code, .message = archive.title() + ": " + what, .next = next});
  };
  if (archive.has("serialized_exported_program.json")) refuse("E106", "the archive's layout is that of torch 2.7 and older");
  if (archive.has("constants.pkl")) refuse("E107", "the file is a TorchScript archive, not an exported program");
  if (archive.has("data.pkl")) refuse("E107", "the file holds weights (torch.save), not an exported program");
  for (const std::string& name : archive.names())
    if (name.starts_with("data/aotinductor")) refuse("E107", "the file is compiled by AOTInductor, not an exported program");
  refuse("E103", "it has no entry 'models/model.json'");
  throw std::logic_error("unreachable");
}

void check_container(Archive& archive) {
  if (archive.has("archive_format") && archive.read("archive_format").text() != "pt2")
    archive.damaged(fmt::format("its format is '{}', expected 'pt2'", archive.read("archive_format").text()), "E106");
  if (archive.has("archive_version") && archive.read("archive_version").text() != "0")
    archive.damaged(fmt::format("its version is '{}', Wherry reads '0'", archive.read("archive_version").text()), "E106");
  if (archive.has("byteorder") && archive.read("byteorder").text() != "little")
    archive.damaged(fmt::format("its byte order is '{}', Wherry reads 'little'", archive.read("byteorder").text()), "E106");
}

std::string model_name(const Archive& archive) {
  std::vector<std::string> models;
  for (const std::string& name : archive.names())
    if (name.starts_with("models/") && name.ends_with(".json")) models.push_back(name.substr(7, name.size() - 12));
  if (models.empty()) refuse_kind(archive);
  if (models.size() > 1)
    fail({.code = "E107",
          .message = fmt::format("{} holds {} models: {}", archive.title(), models.size(), join(models, ", ")),
          .next = "save each by itself: torch.export.save(program, path)"});
  return models[0];
}

}  // namespace

Graph read_pt2(Archive& archive, const std::string& name, const OpTable& ops, Diagnostics& diagnostics) {
  const std::string model = model_name(archive);
  check_container(archive);
  const std::string entry = fmt::format("models/{}.json", model);
  const pt2::JsonDocument document(archive, entry, archive.read(entry));
  const pt2::Program program = pt2::read_program(document.root());
  pt2::WeightStore weights(archive, model);
  const bool named = !archive.root().empty() && archive.root() != "archive";
  return pt2::Importer(archive, program, weights, ops, diagnostics).run(named ? archive.root() : name);
}

Graph read_pt2(const std::filesystem::path& file, const OpTable& ops, Diagnostics& diagnostics) {
  Archive archive = Archive::open(file);
  return read_pt2(archive, file.stem().string(), ops, diagnostics);
}

}  // namespace wherry
