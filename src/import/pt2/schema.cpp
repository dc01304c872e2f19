#include "import/pt2/schema.h"

#include "base/diagnostics.h"
#include "import/pt2/symbols.h"

#include <fmt/format.h>

#include <array>

namespace wherry::pt2 {

namespace {

constexpr std::int64_t known_major = 8;

struct NumberedDType {
  std::int64_t number;
  DType dtype;
};
constexpr auto dtypes = std::to_array<NumberedDType>({{1, DType::uint8},
                                                      {2, DType::int8},
                                                      {3, DType::int16},
                                                      {4, DType::int32},
                                                      {5, DType::int64},
                                                      {6, DType::float16},
                                                      {7, DType::float32},
                                                      {8, DType::float64},
                                                      {10, DType::complex64},
                                                      {11, DType::complex128},
                                                      {12, DType::boolean},
                                                      {13, DType::bfloat16},
                                                      {28, DType::uint16},
                                                      {29, DType::float8_e4m3fn},
                                                      {30, DType::float8_e5m2},
                                                      {34, DType::uint32},
                                                      {35, DType::uint64}});

DType read_dtype(const Json& json) {
  const std::int64_t number = json.integer();
  for (const NumberedDType& row : dtypes)
    if (row.number == number) return row.dtype;
  json.wrong(fmt::format("is data type number {}, which Wherry does not know", number));
}

Dim read_size(const Json& json) {
  const auto [tag, value] = json.tagged();
  if (tag == "as_int") return value.integer();
  if (tag != "as_expr") json.wrong(fmt::format("is a size of unknown kind '{}'", tag));
  const std::string_view expression = value["expr_str"].text();
  std::optional<Dim> dim = parse_symbolic(expression);
  if (!dim) json.wrong(fmt::format("is the size '{}', which does not parse", expression));
  return *dim;
}

Shape read_sizes(const Json& json) {
  Shape shape;
  json.each_item([&](const Json& item) { shape.push_back(read_size(item)); });
  return shape;
}

Attr word_of(const Json& json, std::initializer_list<const char*> words) {
  const std::int64_t number = json.integer();
  if (number < 0 || number >= static_cast<std::int64_t>(words.size())) json.wrong(fmt::format("has the unknown value {}", number));
  return std::string(*(words.begin() + number));
}

template <class List, class F>
List list_of(const Json& json, F read) {
  List list;
  json.each_item([&](const Json& item) { list.push_back(read(item)); });
  return list;
}

void read_part(const Json& json, Argument& argument) {
  const auto [tag, value] = json.tagged();
  if (tag == "as_name")
    argument.parts.emplace_back(value.text(), 0);
  else if (tag == "as_int")
    argument.parts.emplace_back("", value.integer());
  else
    json.wrong(fmt::format("is of unknown kind '{}'", tag));
}

std::optional<Attr> read_attr(std::string_view tag, const Json& v) {
  if (tag == "as_int") return v.integer();
  if (tag == "as_float") return v.number();
  if (tag == "as_bool") return v.boolean();
  if (tag == "as_string") return std::string(v.text());
  if (tag == "as_ints") return list_of<Ints>(v, [](const Json& i) { return i.integer(); });
  if (tag == "as_floats") return list_of<Floats>(v, [](const Json& i) { return i.number(); });
  if (tag == "as_bools") return list_of<Ints>(v, [](const Json& i) { return i.boolean() ? 1 : 0; });
  if (tag == "as_strings") return list_of<Strings>(v, [](const Json& i) { return std::string(i.text()); });
  if (tag == "as_scalar_type") return read_dtype(v);
  if (tag == "as_device") return std::string(v["type"].text());
  if (tag == "as_memory_format")
    return word_of(v, {"unknown", "contiguous_format", "channels_last", "channels_last_3d", "preserve_format"});
  if (tag == "as_layout")
    return word_of(v, {"unknown", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "mkldnn", "strided"});
  return std::nullopt;
}

class Reader {
 public:
  Program program;

  // Some unions (an optional tensor in a list, a number that may be symbolic) are unions in their turn.
  Argument argument(const Json& json, int depth) {
    const auto [tag, v] = json.tagged();
    Argument a;
    if (tag == "as_none") return a;
    if (tag == "as_tensor") return a.kind = Argument::tensor, a.name = v["name"].text(), a;
    if (tag == "as_optional_tensor") return argument(v, depth);
    if (tag == "as_tensors" || tag == "as_optional_tensors") {
      a.kind = Argument::tensors;
      v.each_item([&](const Json& item) {
        if (const auto name = item.find("name")) return a.names.push_back(name->text());
        const Argument one = argument(item, depth);
        a.names.push_back(one.kind == Argument::tensor ? one.name : "");
      });
      return a;
    }
    if (tag == "as_sym_int") return a.kind = Argument::sizes, a.single = true, read_part(v, a), a;
    if (tag == "as_sym_ints") {
      a.kind = Argument::sizes;
      v.each_item([&](const Json& item) { read_part(item, a); });
      return a;
    }
    if (tag == "as_sym_float" || tag == "as_sym_bool") {
      const auto [inner, value] = v.tagged();
      if (std::optional<Attr> attr = read_attr(inner, value)) return a.kind = Argument::attr, a.value = std::move(*attr), a;
      return a.kind = Argument::other, a.name = "a number known only at run time", a;
    }
    if (tag == "as_graph") {
      if (depth > 20) json.wrong("nests graphs too deeply");
      GraphDef body = graph(v["graph"], depth + 1);
      return a.kind = Argument::graph, a.name = v["name"].text(), a.body = &program.bodies.emplace_back(std::move(body)), a;
    }
    if (std::optional<Attr> attr = read_attr(tag, v)) return a.kind = Argument::attr, a.value = std::move(*attr), a;
    return a.kind = Argument::other, a.name = tag, a;
  }

  std::vector<Argument> arguments(const Json& json, int depth) {
    return list_of<std::vector<Argument>>(json, [&](const Json& item) { return argument(item, depth); });
  }

  NodeDef node(const Json& json, int depth) {
    NodeDef node{.target = json["target"].text(), .outputs = arguments(json["outputs"], depth)};
    json["inputs"].each_item([&](const Json& item) { node.inputs.emplace_back(item["name"].text(), argument(item["arg"], depth)); });
    const Json metadata = json["metadata"];
    if (const auto trace = metadata.find("stack_trace")) node.stack_trace = trace->text();
    if (const auto stack = metadata.find("nn_module_stack")) node.module_stack = stack->text();
    return node;
  }

  GraphDef graph(const Json& json, int depth) {
    GraphDef graph{.inputs = arguments(json["inputs"], depth), .outputs = arguments(json["outputs"], depth)};
    json["nodes"].each_item([&](const Json& item) { graph.nodes.push_back(node(item, depth)); });
    json["tensor_values"].each_member(
        [&](std::string_view name, const Json& meta) { graph.tensors.emplace(name, read_tensor_meta(meta)); });
    json["sym_int_values"].each_member([&](std::string_view name, const Json& size) { graph.sizes.emplace(name, read_size(size)); });
    return graph;
  }

  Spec spec(const Json& json) {
    const auto [kind, body] = json.tagged();
    Spec spec{.kind = kind};
    if (const auto arg = body.find("arg")) {
      if (const auto name = arg->find("name"))
        spec.arg.kind = Argument::tensor, spec.arg.name = name->text();
      else
        spec.arg = argument(*arg, 0);
    } else if (const auto name = body.find("name")) {
      spec.arg.name = name->text();
    }
    for (const char* key : {"parameter_name", "buffer_name", "tensor_constant_name", "user_input_name", "custom_obj_name"})
      if (const auto target = body.find(key)) spec.target = target->text();
    return spec;
  }

  void calling(const Json& module) {
    module["module_call_graph"].each_item([&](const Json& entry) {
      const auto signature = entry.find("signature");
      if (!signature || !entry["fqn"].text().empty()) return;
      program.in_spec = (*signature)["in_spec"].text();
      program.out_spec = (*signature)["out_spec"].text();
      if (const auto names = signature->find("forward_arg_names"))
        names->each_item([&](const Json& name) { program.argument_names.push_back(name.text()); });
    });
    if (const auto tuples = module.find("treespec_namedtuple_fields"))
      tuples->each_member([&](std::string_view name, const Json& fields) {
        fields["field_names"].each_item([&](const Json& field) { program.namedtuples[name].push_back(field.text()); });
      });
  }
};

void check_version(const Json& root) {
  const Json version = root["schema_version"];
  const std::int64_t major = version["major"].integer(), minor = version["minor"].integer();
  if (major == known_major) return;
  const auto torch = root.find("torch_version");
  fail({.code = "E106",
        .message = fmt::format("the program's schema is version {}.{} (written by torch {}); Wherry reads version {}", major, minor,
                               torch ? torch->text() : "?", known_major),
        .next = "export it with torch 2.13: torch.export.save(torch.export.export(module, args), path)"});
}

}  // namespace

bool is_contiguous(const TensorMeta& meta) {
  Dim step(1);
  for (std::size_t i = meta.type.shape.size(); i-- > 0;) {
    const Dim& size = meta.type.shape[i];
    if (size == Dim(1)) continue;
    if (!same_size(meta.strides[i], step)) return false;
    step = step * size;
  }
  return meta.dense;
}

// From the last axis on, axes that follow each other without gaps form chunks; the new axes must fill each chunk exactly.
std::optional<bool> can_be_viewed(const TensorMeta& meta, const Shape& as) {
  if (!is_static(meta.type.shape) || !is_static(meta.strides) || !is_static(as)) return std::nullopt;
  const Sizes from = sizes(meta.type.shape), strides = sizes(meta.strides), to = sizes(as);
  if (element_count(from) != element_count(to)) return false;
  if (element_count(from) == 0) return true;
  std::size_t next = to.size();
  std::int64_t chunk = 1;
  std::optional<std::size_t> inner;  // the axis before in this chunk
  for (std::size_t i = from.size(); i-- > 0;) {
    if (from[i] == 1) continue;
    const bool follows = inner && strides[i] == from[*inner] * strides[*inner];
    if (inner && !follows && chunk != 1) return false;
    chunk *= from[i];
    inner = i;
    while (next > 0 && chunk % to[next - 1] == 0 && chunk > 1) chunk /= to[--next];
  }
  return chunk == 1;
}

TensorMeta read_tensor_meta(const Json& json) {
  TensorMeta meta{.type = {read_dtype(json["dtype"]), read_sizes(json["sizes"])},
                  .strides = read_sizes(json["strides"]),
                  .offset = read_size(json["storage_offset"]),
                  .dense = json["layout"].integer() == 7};
  if (meta.strides.size() != meta.type.shape.size() && meta.dense) json.wrong("has another number of strides than of sizes");
  return meta;
}

Program read_program(const Json& root) {
  check_version(root);
  Reader reader;
  const Json module = root["graph_module"];
  reader.program.graph = reader.graph(module["graph"], 0);
  const Json signature = module["signature"];
  signature["input_specs"].each_item([&](const Json& item) { reader.program.inputs.push_back(reader.spec(item)); });
  signature["output_specs"].each_item([&](const Json& item) { reader.program.outputs.push_back(reader.spec(item)); });
  reader.calling(module);
  return std::move(reader.program);
}

}  // namespace wherry::pt2
