#include "runtime/python_worker.h"

#include "base/text.h"
#include "runtime/environments.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

extern char** environ;

namespace wherry {

namespace fs = std::filesystem;

namespace {

// What installs the module that a worker lacks.
std::string extra_of(const std::string& module) {
  constexpr std::pair<std::string_view, std::string_view> extras[] = {{"keras", "keras"}, {"tensorflow", "keras"}, {"torch", "torch"},
                                                                      {"jax", "jax"},     {"flax", "jax"},         {"onnxruntime", "onnx"}};
  for (const auto& [name, extra] : extras)
    if (name == module) return fmt::format("pip install 'wherry[{}]'", extra);
  return fmt::format("pip install {}", module);
}

// The folder of the worker: $WHERRY_WORKER, in the source tree that the program was built in, or in the package beside it.
std::optional<fs::path> find_worker() {
  if (const std::string named = environment("WHERRY_WORKER"); !named.empty()) return named;
  std::error_code error;
  for (const fs::path& prefix : environment_prefixes()) {
    if (const fs::path folder = prefix / "python/wherry/_worker"; fs::exists(folder / "__main__.py", error)) return folder;
    for (const auto& python : fs::directory_iterator(prefix / "lib", error))
      if (const fs::path folder = python.path() / "site-packages/wherry/_worker"; fs::exists(folder / "__main__.py", error)) return folder;
  }
  return std::nullopt;
}

// The frameworks' chatter off, and the CPU: a GPU's shortened float32 is no reference.
std::vector<std::string> worker_environment() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry; ++entry) variables.emplace_back(*entry);
  constexpr std::pair<const char*, const char*> defaults[] = {{"TF_CPP_MIN_LOG_LEVEL", "3"},
                                                              {"TF_ENABLE_ONEDNN_OPTS", "0"},
                                                              {"CUDA_VISIBLE_DEVICES", "-1"},
                                                              {"JAX_PLATFORMS", "cpu"},
                                                              {"PYTHONDONTWRITEBYTECODE", "1"}};
  for (const auto& [name, value] : defaults)
    if (environment(name).empty()) variables.push_back(fmt::format("{}={}", name, value));
  return variables;
}

std::string last_line(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::clamp<off_t>(size, 0, 4096)), '\0');
  const ssize_t got = ::pread(descriptor, text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  std::string last;
  for (const std::string& line : split(text, '\n'))
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  return last;
}

}  // namespace

struct PythonWorker::Process {
  fs::path python;
  pid_t id = -1;
  int channel = -1;
  int output = -1;  // what the process prints

  ~Process() {
    if (channel >= 0) ::close(channel);  // the worker ends when nobody speaks to it any more
    if (id > 0) ::waitpid(id, nullptr, 0);
    if (output >= 0) ::close(output);
  }

  bool send(const void* data, std::size_t size) const {
    const char* at = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t sent = ::send(channel, at, size, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      at += sent, size -= static_cast<std::size_t>(sent);
    }
    return true;
  }

  bool receive(void* data, std::size_t size) const {
    char* at = static_cast<char*>(data);
    while (size > 0) {
      const ssize_t got = ::recv(channel, at, size, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got, size -= static_cast<std::size_t>(got);
    }
    return true;
  }
};

PythonWorker::PythonWorker(std::string subject) : subject_(std::move(subject)), process_(std::make_unique<Process>()) {
  const std::optional<fs::path> python = find_python(), worker = find_worker();
  if (!python)
    fail({.code = "E706",
          .message = fmt::format("'{}' needs Python to run, and none is found", subject_),
          .next = "name one in WHERRY_PYTHON, or activate the environment that has it"});
  if (!worker)
    fail({.code = "E706",
          .message = fmt::format("'{}' needs Wherry's Python package to run, and it is not beside this program", subject_),
          .next = "pip install wherry, or name its folder wherry/_worker in WHERRY_WORKER"});
  process_->python = *python;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) ended();
  process_->channel = ends[0];
  process_->output = ::memfd_create("worker", MFD_CLOEXEC);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  ::posix_spawn_file_actions_adddup2(&actions, process_->output, 1);
  ::posix_spawn_file_actions_adddup2(&actions, process_->output, 2);
  std::string program = python->string(), folder = worker->string();
  char* arguments[] = {program.data(), folder.data(), nullptr};
  std::vector<std::string> variables = worker_environment();
  std::vector<char*> pointers;
  for (std::string& variable : variables) pointers.push_back(variable.data());
  pointers.push_back(nullptr);
  const int trouble = ::posix_spawn(&process_->id, program.c_str(), &actions, nullptr, arguments, pointers.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (trouble == 0) return;
  process_->id = -1;
  fail({.code = "E706", .message = fmt::format("'{}' cannot be started: {}", program, std::strerror(trouble)), .next = ""});
}

PythonWorker::~PythonWorker() = default;

WorkerMessage PythonWorker::call(nlohmann::json header, const std::vector<Tensor>& tensors) {
  header["tensors"] = nlohmann::json::array();
  for (const Tensor& t : tensors) header["tensors"].push_back({{"dtype", name(t.dtype())}, {"shape", t.sizes()}});
  const std::string text = header.dump();
  std::uint64_t length = text.size();
  bool alive = process_->send(&length, sizeof length) && process_->send(text.data(), text.size());
  for (const Tensor& t : tensors) {
    const Tensor whole = t.contiguous();
    alive = alive && process_->send(whole.data(), whole.bytes());
  }
  if (!alive || !process_->receive(&length, sizeof length)) ended();
  std::string answer(length, '\0');
  if (!process_->receive(answer.data(), answer.size())) ended();
  WorkerMessage reply{nlohmann::json::parse(answer), {}};
  if (reply.header.contains("error") || reply.header.contains("missing")) refuse(reply.header);
  for (const nlohmann::json& item : reply.header.at("tensors")) {
    const std::string word = item.at("dtype");
    const std::optional<DType> dtype = parse_dtype(word);
    if (!dtype)
      fail({.code = "E707", .message = fmt::format("'{}' gives a tensor of type {}, which Wherry does not know", subject_, word)});
    Tensor tensor = Tensor::allocate(*dtype, item.at("shape").get<Sizes>());
    if (!process_->receive(tensor.mutable_data(), tensor.bytes())) ended();
    reply.tensors.push_back(std::move(tensor));
  }
  return reply;
}

void PythonWorker::refuse(const nlohmann::json& reply) const {
  if (reply.contains("missing")) {
    const std::string module = reply["missing"];
    fail({.code = "E706",
          .message = fmt::format("'{}' needs {} to run, which '{}' does not have", subject_, module, process_->python.string()),
          .next = fmt::format("{}; another Python is named in WHERRY_PYTHON", extra_of(module))});
  }
  fail({.code = "E707", .message = fmt::format("'{}' does not run: {}", subject_, std::string(reply["error"]))});
}

void PythonWorker::ended() const {
  const std::string last = process_->output >= 0 ? last_line(process_->output) : "";
  fail({.code = "E707", .message = fmt::format("the Python that runs '{}' has ended{}", subject_, last.empty() ? "" : ": " + last)});
}

}  // namespace wherry
