#include "runtime/litert.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/packed.h"
#include "runtime/litert_api.h"
#include "runtime/quiet_stderr.h"
#include "runtime/tflite_file.h"
#include "tflite_schema/tflite_model.h"

#include <dlfcn.h>

#include <cstring>

namespace wherry {
namespace {

using litert::Handle;
using litert::Index;

constexpr const char* install =
    "pip install 'ai-edge-litert>=2.3' into the Python environment that you use, or name libLiteRt.so in WHERRY_LITERT";

// What LiteRT's status numbers mean, in words.
std::string_view meaning(int status) {
  switch (status) {
    case 1: return "an argument that it does not take";
    case 2: return "memory ran out";
    case 3: return "a fault at run time";
    case 4: return "an input is missing";
    case 5: return "something that it does not support";
    case 6: return "something was not found";
    case 8: return "a version that it does not know";
    case 500: return "the file cannot be read";
    case 501: return "the FlatBuffer is not valid";
    case 502: return "a library cannot be loaded";
    case 504: return "the model cannot be compiled";
    case 1000: return "an index out of bounds";
    default: return "no reason given";
  }
}

template <class Function>
Function* symbol(void* library, const char* name, const LiteRtLibrary& found) {
  void* address = dlsym(library, name);
  if (!address)
    fail({.code = "E701",
          .message =
              fmt::format("'{}'{} lacks {}", found.path.string(), found.version.empty() ? "" : " (version " + found.version + ")", name),
          .next = install});
  return reinterpret_cast<Function*>(address);
}

// LiteRT 2.3 gave functions that older ones have under the same names other parameters.
bool is_too_old(const std::string& version) {
  const std::vector<std::string> parts = split(version, '.');
  if (parts.size() < 2) return false;
  return std::pair(std::atoi(parts[0].c_str()), std::atoi(parts[1].c_str())) < std::pair(2, 3);
}

litert::Api open_library() {
  const auto found = find_litert();
  if (!found) {
    const char* named = std::getenv("WHERRY_LITERT");
    fail({.code = "E701",
          .message = named && *named ? fmt::format("WHERRY_LITERT names '{}', where there is no libLiteRt.so", named)
                                     : std::string("LiteRT is not installed where Wherry looks for it"),
          .next = install});
  }
  if (is_too_old(found->version))
    fail({.code = "E701",
          .message =
              fmt::format("ai-edge-litert {} at '{}' is too old: its C interface has changed since", found->version, found->path.string()),
          .next = install});
  void* library = dlopen(found->path.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    const char* reason = dlerror();
    fail({.code = "E701",
          .message = fmt::format("'{}' cannot be opened: {}", found->path.string(), reason ? reason : "?"),
          .next = install});
  }
  litert::Api api;
#define WHERRY_LITERT_LOAD(function, result, parameters) api.function = symbol<result parameters>(library, "LiteRt" #function, *found);
  using namespace litert;
  WHERRY_LITERT_FUNCTIONS(WHERRY_LITERT_LOAD)
#undef WHERRY_LITERT_LOAD
  return api;
}

// LiteRT's element types are numbered as TensorFlow Lite's C interface numbers them.
constexpr std::pair<int, DType> elements[] = {
    {1, DType::float32}, {2, DType::int32},     {3, DType::uint8},          {4, DType::int64},        {6, DType::boolean},
    {7, DType::int16},   {8, DType::complex64}, {9, DType::int8},           {10, DType::float16},     {11, DType::float64},
    {13, DType::uint64}, {16, DType::uint32},   {17, DType::uint16},        {18, DType::int4},        {19, DType::bfloat16},
    {20, DType::int2},   {21, DType::uint4},    {22, DType::float8_e4m3fn}, {23, DType::float8_e5m2},
};

}  // namespace

// One end of the model: a signature's input or output with the buffer that holds it.
struct Terminal {
  litert::RankedType type;
  Handle buffer = nullptr;  // none where the tensor has no elements
};

struct LiteRtModel::State {
  litert::Api api;
  std::string name;
  std::shared_ptr<const MappedFile> mapped;  // one of these two owns what the model reads
  std::string bytes;
  Handle environment = nullptr, model = nullptr, options = nullptr, compiled = nullptr;
  std::vector<TensorInfo> inputs, outputs;
  std::vector<Terminal> in, out;

  struct Silence {
    explicit Silence(State& state) : owner(state) { owner.quiet = &collected; }
    ~Silence() { owner.quiet = nullptr; }
    State& owner;
    QuietStderr collected;
  };

  ~State() {
    for (const auto* side : {&in, &out})
      for (const Terminal& terminal : *side)
        if (terminal.buffer) api.DestroyTensorBuffer(terminal.buffer);
    if (compiled) api.DestroyCompiledModel(compiled);
    if (options) api.DestroyOptions(options);
    if (model) api.DestroyModel(model);
    if (environment) api.DestroyEnvironment(environment);
  }

  const QuietStderr* quiet = nullptr;  // while the model is loaded and first run: where LiteRT says why it refuses
  bool has_run = false;

  void check(int status, const char* function) const {
    if (status == 0) return;
    std::string reason = quiet ? quiet->complaints() : "";
    if (reason.empty()) reason = meaning(status);
    fail({.code = "E702",
          .message = fmt::format("LiteRT refuses '{}': LiteRt{} gives status {} ({})", name, function, status, reason),
          .next = "report this with the model's text if Wherry wrote the file; otherwise check that the file is whole"});
  }
#define WHERRY_LITERT_CALL(function, ...) check(api.function(__VA_ARGS__), #function)

  void load(std::span<const std::byte> file, int threads, bool profiled) {
    if (const std::string reason = why_not_tflite(file); !reason.empty())
      fail({.code = "E702",
            .message = fmt::format("'{}' is no .tflite file that LiteRT can read: {}", name, reason),
            .next = "convert the model again"});
    const std::vector<EmptyPort> empty = empty_ports(file);  // which LiteRT's compiled models neither take nor give
    if (!empty.empty()) {
      bytes = without_ports(file, empty);
      file = std::as_bytes(std::span(bytes));
    }
    const Silence silence(*this);
    const litert::EnvironmentOption severity = {litert::minimum_severity_tag, {litert::any_int, litert::silent}};
    WHERRY_LITERT_CALL(CreateEnvironment, 1, &severity, &environment);
    WHERRY_LITERT_CALL(CreateModelFromBuffer, environment, file.data(), file.size(), &model);
    set_options(threads, profiled);
    WHERRY_LITERT_CALL(CreateCompiledModel, environment, model, options, &compiled);
    read_signature();
    for (const EmptyPort& port : empty) {
      const auto place = static_cast<std::ptrdiff_t>(port.place);
      std::vector<TensorInfo>& infos = port.is_output ? outputs : inputs;
      std::vector<Terminal>& terminals = port.is_output ? out : in;
      infos.insert(infos.begin() + place, port.info);
      terminals.insert(terminals.begin() + place, Terminal{});
    }
  }

  void set_options(int threads, bool profiled) {
    WHERRY_LITERT_CALL(CreateOptions, &options);
    WHERRY_LITERT_CALL(SetOptionsHardwareAccelerators, options, litert::cpu);
    add_option("xnnpack", fmt::format("num_threads = {}\n", threads));
    if (profiled) add_option("runtime_options_string", "enable_profiling = true\n");
  }

  // Options behind the interface are text in TOML, by the name of who reads them.
  void add_option(const char* reader, const std::string& settings) {
    Handle opaque = nullptr;
    WHERRY_LITERT_CALL(
        CreateOpaqueOptions, reader, strdup(settings.c_str()), [](void* text) { std::free(text); }, &opaque);
    WHERRY_LITERT_CALL(AddOpaqueOptions, options, opaque);
  }

  void read_signature() {
    Handle signature = nullptr;
    Index inputs_count = 0, outputs_count = 0;
    WHERRY_LITERT_CALL(GetModelSignature, model, 0, &signature);
    WHERRY_LITERT_CALL(GetNumSignatureInputs, signature, &inputs_count);
    WHERRY_LITERT_CALL(GetNumSignatureOutputs, signature, &outputs_count);
    for (Index i = 0; i < inputs_count; ++i) {
      const char* port = nullptr;
      Handle tensor = nullptr, requirements = nullptr;
      WHERRY_LITERT_CALL(GetSignatureInputName, signature, i, &port);
      WHERRY_LITERT_CALL(GetSignatureInputTensorByIndex, signature, i, &tensor);
      WHERRY_LITERT_CALL(GetCompiledModelInputBufferRequirements, compiled, 0, i, &requirements);
      add_terminal(port, tensor, requirements, inputs, in);
    }
    for (Index i = 0; i < outputs_count; ++i) {
      const char* port = nullptr;
      Handle tensor = nullptr, requirements = nullptr;
      WHERRY_LITERT_CALL(GetSignatureOutputName, signature, i, &port);
      WHERRY_LITERT_CALL(GetSignatureOutputTensorByIndex, signature, i, &tensor);
      WHERRY_LITERT_CALL(GetCompiledModelOutputBufferRequirements, compiled, 0, i, &requirements);
      add_terminal(port, tensor, requirements, outputs, out);
    }
  }

  void add_terminal(const char* port, Handle tensor, Handle requirements, std::vector<TensorInfo>& infos,
                    std::vector<Terminal>& terminals) {
    Terminal terminal{};
    WHERRY_LITERT_CALL(GetRankedTensorType, tensor, &terminal.type);
    const auto* element =
        std::find_if(std::begin(elements), std::end(elements), [&](const auto& e) { return e.first == terminal.type.element; });
    if (element == std::end(elements))
      fail({.code = "E702",
            .message = fmt::format("'{}': '{}' has elements of a type that Wherry does not run ({})", name, port, terminal.type.element)});
    Type type{element->second, {}};
    for (unsigned i = 0; i < terminal.type.rank; ++i) {
      if (terminal.type.dimensions[i] < 0)
        fail({.code = "E702",
              .message = fmt::format("'{}': '{}' has a size that is not fixed", name, port),
              .next = "convert the model with fixed sizes"});
      type.shape.emplace_back(terminal.type.dimensions[i]);
    }
    WHERRY_LITERT_CALL(CreateManagedTensorBufferFromRequirements, environment, &terminal.type, requirements, &terminal.buffer);
    infos.push_back({port, std::move(type)});
    terminals.push_back(terminal);
  }

  void put(const Tensor& tensor, Handle buffer) {
    void* host = nullptr;
    WHERRY_LITERT_CALL(LockTensorBuffer, buffer, &host, litert::lock_to_write);
    if (is_packed(tensor.dtype())) {
      const std::string elements_packed = packed(tensor);
      std::memcpy(host, elements_packed.data(), elements_packed.size());
    } else {
      tensor.copy_to(static_cast<std::byte*>(host));
    }
    WHERRY_LITERT_CALL(UnlockTensorBuffer, buffer);
  }

  void look_at(std::size_t i, const std::function<void(std::size_t, const Tensor&)>& look) {
    if (!out[i].buffer) return look(i, Tensor::allocate(outputs[i].type.dtype, sizes(outputs[i].type.shape)));
    void* host = nullptr;
    WHERRY_LITERT_CALL(LockTensorBuffer, out[i].buffer, &host, litert::lock_to_read);
    const Sizes shape = sizes(outputs[i].type.shape);
    const DType dtype = outputs[i].type.dtype;
    const auto* at = static_cast<const std::byte*>(host);
    look(i, is_packed(dtype) ? unpacked({at, stored_size(dtype, element_count(shape))}, dtype, shape)
                             : Tensor(dtype, shape, contiguous_strides(shape), at, nullptr));
    WHERRY_LITERT_CALL(UnlockTensorBuffer, out[i].buffer);
  }
};

LiteRtModel::LiteRtModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
LiteRtModel::~LiteRtModel() = default;

void LiteRtModel::require() { open_library(); }

std::unique_ptr<LiteRtModel> LiteRtModel::from_file(const std::filesystem::path& file, int threads, bool profiled) {
  auto state = std::make_unique<State>();
  state->mapped = MappedFile::open(file);
  state->name = file.string();
  state->api = open_library();
  state->load(state->mapped->bytes(), threads, profiled);
  return std::unique_ptr<LiteRtModel>(new LiteRtModel(std::move(state)));
}

std::unique_ptr<LiteRtModel> LiteRtModel::from_bytes(std::string bytes, const std::string& name, int threads) {
  auto state = std::make_unique<State>();
  state->bytes = std::move(bytes);
  state->name = name;
  state->api = open_library();
  state->load(std::as_bytes(std::span(state->bytes)), threads, false);
  return std::unique_ptr<LiteRtModel>(new LiteRtModel(std::move(state)));
}

const std::vector<TensorInfo>& LiteRtModel::inputs() const { return state_->inputs; }
const std::vector<TensorInfo>& LiteRtModel::outputs() const { return state_->outputs; }

void LiteRtModel::run(std::span<const Tensor> tensors, const std::function<void(std::size_t, const Tensor&)>& look) {
  State& s = *state_;
  if (tensors.size() != s.inputs.size())
    fail({.code = "E705", .message = fmt::format("'{}' takes {} inputs, found {}", s.name, s.inputs.size(), tensors.size())});
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].type() != s.inputs[i].type)
      fail({.code = "E705",
            .message = fmt::format("input '{}' of '{}' is {}, found {}", s.inputs[i].name, s.name, text(s.inputs[i].type),
                                   text(tensors[i].type()))});
  std::optional<State::Silence> silence;
  if (!s.has_run) silence.emplace(s);
  std::vector<Handle> in, out;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (s.in[i].buffer) s.put(tensors[i], in.emplace_back(s.in[i].buffer));
  for (const Terminal& terminal : s.out)
    if (terminal.buffer) out.push_back(terminal.buffer);
  s.check(s.api.RunCompiledModel(s.compiled, 0, in.size(), in.data(), out.size(), out.data()), "RunCompiledModel");
  s.has_run = true;
  for (std::size_t i = 0; i < s.out.size(); ++i) s.look_at(i, look);
}

std::vector<Tensor> LiteRtModel::run(std::span<const Tensor> tensors) {
  std::vector<Tensor> results(state_->outputs.size());
  run(tensors, [&](std::size_t i, const Tensor& view) {
    results[i] = Tensor::uninitialised(view.dtype(), view.sizes());
    view.copy_to(results[i].mutable_data());
  });
  return results;
}

std::vector<OperatorTime> LiteRtModel::profile(std::span<const Tensor> inputs, int runs) {
  State& s = *state_;
  std::vector<OperatorTime> times;
  const auto nothing = [](std::size_t, const Tensor&) {};
  run(inputs, nothing);  // allocation is no operator's
  Handle profiler = nullptr;
  s.check(s.api.CompiledModelGetProfiler(s.compiled, &profiler), "CompiledModelGetProfiler");
  WHERRY_CHECK(profiler, "'{}' was not opened to be profiled", s.name);
  for (int i = 0; i < runs; ++i) {
    s.check(s.api.ResetProfiler(profiler), "ResetProfiler");
    s.check(s.api.StartProfiler(profiler), "StartProfiler");
    run(inputs, nothing);
    s.check(s.api.StopProfiler(profiler), "StopProfiler");
    int count = 0;
    s.check(s.api.GetNumProfilerEvents(profiler, &count), "GetNumProfilerEvents");
    std::vector<litert::ProfileEvent> events(static_cast<std::size_t>(count));
    s.check(s.api.GetProfilerEvents(profiler, count, events.data()), "GetProfilerEvents");
    for (const litert::ProfileEvent& event : events)
      if (event.type == litert::operator_event || event.type == litert::delegate_operator_event)
        times.push_back({event.tag ? event.tag : "?", static_cast<double>(event.elapsed) / 1e3});
  }
  return times;
}

}  // namespace wherry
