#include "import/onnx/proto.h"

#include <charconv>

namespace wherry::onnx {

namespace {

constexpr int deepest = 64;  // graphs within graphs

GraphDef read_graph(std::string_view bytes, int depth);

std::pair<std::string_view, std::string_view> read_entry(std::string_view bytes) {
  std::pair<std::string_view, std::string_view> entry;
  wire::each(bytes, [&](const wire::Field& f) {
    if (f.id == 1) entry.first = f.bytes;
    if (f.id == 2) entry.second = f.bytes;
  });
  return entry;
}

std::int64_t number_of(std::string_view text) {
  std::int64_t value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

TensorDef read_tensor(std::string_view bytes) {
  TensorDef t;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: wire::append_varints(f, t.dims); break;
      case 2: t.data_type = f.integer(); break;
      case 3: t.in_segments = true; break;
      case 4: t.floats.push_back(f); break;
      case 5: t.ints.push_back(f); break;
      case 6: t.has_strings = true; break;
      case 7: t.longs.push_back(f); break;
      case 8: t.name = f.bytes; break;
      case 9: t.raw = f.bytes; break;
      case 10: t.doubles.push_back(f); break;
      case 11: t.unsigneds.push_back(f); break;
      case 13: {
        const auto [key, value] = read_entry(f.bytes);
        if (key == "location") t.location = value;
        if (key == "offset") t.offset = number_of(value);
        if (key == "length") t.length = number_of(value);
        break;
      }
      case 14: t.external = f.number == 1; break;
      default: break;
    }
  });
  return t;
}

AttributeDef read_attribute(std::string_view bytes, int depth) {
  AttributeDef a;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: a.name = f.bytes; break;
      case 2: a.number = f.float32(); break;
      case 3: a.integer = f.integer(); break;
      case 4: a.text = f.bytes; break;
      case 5: a.tensor = std::make_shared<TensorDef>(read_tensor(f.bytes)); break;
      case 6: a.graph = std::make_shared<GraphDef>(read_graph(f.bytes, depth + 1)); break;
      case 7: wire::append_floats(f, a.numbers); break;
      case 8: wire::append_varints(f, a.integers); break;
      case 9: a.texts.push_back(f.bytes); break;
      case 20: a.type = f.integer(); break;
      case 21: a.ref = f.bytes; break;
      default: break;
    }
  });
  return a;
}

NodeDef read_node(std::string_view bytes, int depth) {
  NodeDef n;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: n.inputs.push_back(f.bytes); break;
      case 2: n.outputs.push_back(f.bytes); break;
      case 3: n.name = f.bytes; break;
      case 4: n.op = f.bytes; break;
      case 5: n.attributes.push_back(read_attribute(f.bytes, depth)); break;
      case 7: n.domain = f.bytes; break;
      case 8: n.overload = f.bytes; break;
      case 9: n.metadata.insert(read_entry(f.bytes)); break;
      default: break;
    }
  });
  if (n.domain == "ai.onnx") n.domain = "";
  return n;
}

DimDef read_dim(std::string_view bytes) {
  DimDef d;
  wire::each(bytes, [&](const wire::Field& f) {
    if (f.id == 1) d.size = f.integer();
    if (f.id == 2) d.name = f.bytes;
  });
  return d;
}

void read_tensor_type(std::string_view bytes, ValueDef& v) {
  wire::each(bytes, [&](const wire::Field& f) {
    if (f.id == 1) v.data_type = f.integer();
    if (f.id != 2) return;
    v.ranked = true;
    wire::each(f.bytes, [&](const wire::Field& dim) {
      if (dim.id == 1) v.dims.push_back(read_dim(dim.bytes));
    });
  });
}

ValueDef read_value(std::string_view bytes) {
  ValueDef v;
  wire::each(bytes, [&](const wire::Field& f) {
    if (f.id == 1) v.name = f.bytes;
    if (f.id != 2) return;
    wire::each(f.bytes, [&](const wire::Field& type) {
      switch (type.id) {
        case 1: read_tensor_type(type.bytes, v); break;
        case 4: v.kind = "sequence"; break;
        case 5: v.kind = "map"; break;
        case 8: v.kind = "sparse tensor"; break;
        case 9: v.kind = "optional"; break;
        default: break;
      }
    });
  });
  return v;
}

GraphDef read_graph(std::string_view bytes, int depth) {
  if (depth > deepest) throw wire::Fault{};
  GraphDef g;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: g.nodes.push_back(read_node(f.bytes, depth)); break;
      case 2: g.name = f.bytes; break;
      case 5: g.initializers.push_back(read_tensor(f.bytes)); break;
      case 11: g.inputs.push_back(read_value(f.bytes)); break;
      case 12: g.outputs.push_back(read_value(f.bytes)); break;
      case 15: g.has_sparse = true; break;
      default: break;
    }
  });
  return g;
}

void read_opset(std::string_view bytes, std::map<std::string_view, std::int64_t>& opsets) {
  std::string_view domain;
  std::int64_t version = 1;
  wire::each(bytes, [&](const wire::Field& f) {
    if (f.id == 1) domain = f.bytes;
    if (f.id == 2) version = f.integer();
  });
  opsets[domain == "ai.onnx" ? "" : domain] = version;
}

FunctionDef read_function(std::string_view bytes) {
  FunctionDef fn;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: fn.name = f.bytes; break;
      case 4: fn.inputs.push_back(f.bytes); break;
      case 5: fn.outputs.push_back(f.bytes); break;
      case 7: fn.nodes.push_back(read_node(f.bytes, 0)); break;
      case 9: read_opset(f.bytes, fn.opsets); break;
      case 10: fn.domain = f.bytes; break;
      case 11: fn.defaults.push_back(read_attribute(f.bytes, 0)); break;
      case 13: fn.overload = f.bytes; break;
      default: break;
    }
  });
  return fn;
}

}  // namespace

const AttributeDef* NodeDef::find(std::string_view attribute) const {
  for (const AttributeDef& a : attributes)
    if (a.name == attribute) return &a;
  return nullptr;
}

ModelDef read_model(std::string_view bytes) {
  ModelDef m;
  wire::each(bytes, [&](const wire::Field& f) {
    switch (f.id) {
      case 1: m.ir_version = f.integer(); break;
      case 2: m.producer = f.bytes; break;
      case 7:
        if (f.kind != 2) throw wire::Fault{};
        m.graph = read_graph(f.bytes, 0);
        m.has_graph = true;
        break;
      case 8: read_opset(f.bytes, m.opsets); break;
      case 14: m.metadata.insert(read_entry(f.bytes)); break;
      case 25: m.functions.push_back(read_function(f.bytes)); break;
      default: break;
    }
  });
  return m;
}

}  // namespace wherry::onnx
