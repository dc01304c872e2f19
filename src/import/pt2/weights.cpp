#include "import/pt2/weights.h"

#include "base/diagnostics.h"
#include "base/text.h"
#include "import/pickle/unpickle.h"
#include "import/storage.h"

#include <fmt/format.h>

#include <array>

namespace wherry::pt2 {

WeightStore::WeightStore(Archive& archive, const std::string& model) : archive_(archive) {
  read_table("data/weights/", model + "_weights_config.json", weights_, legacy_weights_);
  read_table("data/constants/", model + "_constants_config.json", constants_, legacy_constants_);
}

void WeightStore::read_table(const std::string& folder, const std::string& file, Table& table, Weights& legacy) {
  const std::string config = folder + file, old = folder + file.substr(0, file.find('_')) + ".pt";
  if (!archive_.has(config) && archive_.has(old)) {  // torch 2.8 keeps one pickle instead of a table
    legacy = read_checkpoint(archive_.read(old), fmt::format("entry '{}' of {}", old, archive_.title()));
    return;
  }
  const JsonDocument& document = documents_.emplace_back(archive_, config, archive_.read(config));
  std::map<std::string, std::vector<const Payload*>, std::less<>> by_entry;
  document.root()["config"].each_member([&](std::string_view name, const Json& row) {
    Payload payload{.entry = folder + std::string(row["path_name"].text()), .pickled = row["use_pickle"].boolean(), .first_name = name};
    if (const auto meta = row.find("tensor_meta")) payload.meta = read_tensor_meta(*meta);
    std::vector<const Payload*>& sharers = by_entry[payload.entry];
    for (const Payload* other : sharers)
      if (other->meta == payload.meta) payload.first_name = other->first_name;
    sharers.push_back(&table.emplace(name, std::move(payload)).first->second);
  });
}

Tensor WeightStore::view(std::string_view name, const Payload& payload) {
  const auto wrong = [&](const std::string& what) { archive_.damaged(fmt::format("weight '{}' {}", name, what), "E105"); };
  if (!payload.meta) wrong("is not a tensor");
  const TensorMeta& meta = *payload.meta;
  const Shape& shape = meta.type.shape;
  if (!meta.dense) wrong("has a sparse layout; Wherry reads dense tensors");
  if (!is_static(shape) || !is_static(meta.strides) || !meta.offset.known())
    wrong(fmt::format("has a shape that is not fixed: {}", text(shape)));
  return view_storage(archive_.read(payload.entry), meta.type.dtype, sizes(shape), sizes(meta.strides), meta.offset.size(),
                      fmt::format("weight '{}' of {}", name, archive_.title()));
}

WeightStore::Found WeightStore::read(std::string_view name, bool constant) {
  for (const Weights* legacy : {&legacy_weights_, &legacy_constants_})
    if (const auto it = legacy->find(name); it != legacy->end()) return {it->second, std::string(name)};
  const Payload* found = nullptr;  // non-persistent buffers are among the constants
  std::vector<std::string> names;
  for (const Table* table : constant ? std::array{&constants_, &weights_} : std::array{&weights_, &constants_}) {
    const auto it = table->find(name);
    if (!found && it != table->end()) found = &it->second;
    if (!found)
      for (const auto& [known, payload] : *table) names.emplace_back(known);
  }
  if (!found) archive_.damaged(fmt::format("it has no bytes for weight '{}'{}", name, did_you_mean(name, names)), "E103");
  const Payload& payload = *found;
  if (!payload.pickled) return {view(name, payload), std::string(payload.first_name)};
  const std::string title = fmt::format("entry '{}' of {}", payload.entry, archive_.title());
  return {read_pickled_tensor(archive_.read(payload.entry), title), std::string(payload.first_name)};
}

}  // namespace wherry::pt2
