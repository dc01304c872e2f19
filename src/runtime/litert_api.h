// The functions of LiteRT's C interface that Wherry calls, as ai-edge-litert 2.3 exports them. Every function that returns an int
// returns 0 when all went well; handles are opaque.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wherry::litert {

using Handle = void*;
using Index = std::size_t;

// A tensor's type and shape.
struct RankedType {
  int element;
  unsigned rank : 7;
  unsigned has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
static_assert(sizeof(RankedType) == 72);

// What the profiler recorded of one operator or stage; in microseconds.
struct ProfileEvent {
  const char* tag;
  int type;
  std::uint64_t start, elapsed;
  std::size_t memory[6];
  std::uint64_t metadata[2];
  int source;
};
static_assert(sizeof(ProfileEvent) == 104);

struct EnvironmentOption {
  int tag;
  struct {
    int kind;
    std::int64_t value;
  } any;
};
static_assert(sizeof(EnvironmentOption) == 24);

inline constexpr int minimum_severity_tag = 25, any_int = 2, silent = 4;
inline constexpr int cpu = 1;
inline constexpr int operator_event = 2, delegate_operator_event = 8;
inline constexpr int lock_to_read = 0, lock_to_write = 1;

// X(name without "LiteRt", result, parameters)
#define WHERRY_LITERT_FUNCTIONS(X)                                                                                                     \
  X(CreateEnvironment, int, (int count, const EnvironmentOption* options, Handle* environment))                                        \
  X(DestroyEnvironment, void, (Handle environment))                                                                                    \
  X(CreateModelFromBuffer, int, (Handle environment, const void* bytes, std::size_t size, Handle* model))                              \
  X(DestroyModel, void, (Handle model))                                                                                                \
  X(GetModelSignature, int, (Handle model, Index index, Handle * signature))                                                           \
  X(GetNumSignatureInputs, int, (Handle signature, Index * count))                                                                     \
  X(GetNumSignatureOutputs, int, (Handle signature, Index * count))                                                                    \
  X(GetSignatureInputName, int, (Handle signature, Index index, const char** name))                                                    \
  X(GetSignatureOutputName, int, (Handle signature, Index index, const char** name))                                                   \
  X(GetSignatureInputTensorByIndex, int, (Handle signature, Index index, Handle * tensor))                                             \
  X(GetSignatureOutputTensorByIndex, int, (Handle signature, Index index, Handle * tensor))                                            \
  X(GetRankedTensorType, int, (Handle tensor, RankedType * type))                                                                      \
  X(CreateOptions, int, (Handle * options))                                                                                            \
  X(DestroyOptions, void, (Handle options))                                                                                            \
  X(SetOptionsHardwareAccelerators, int, (Handle options, int accelerators))                                                           \
  X(CreateOpaqueOptions, int, (const char* name, void* payload, void (*deleter)(void*), Handle* opaque))                               \
  X(AddOpaqueOptions, int, (Handle options, Handle opaque))                                                                            \
  X(CreateCompiledModel, int, (Handle environment, Handle model, Handle options, Handle * compiled))                                   \
  X(DestroyCompiledModel, void, (Handle compiled))                                                                                     \
  X(GetCompiledModelInputBufferRequirements, int, (Handle compiled, Index signature, Index index, Handle * requirements))              \
  X(GetCompiledModelOutputBufferRequirements, int, (Handle compiled, Index signature, Index index, Handle * requirements))             \
  X(CreateManagedTensorBufferFromRequirements, int, (Handle environment, const RankedType* type, Handle requirements, Handle* buffer)) \
  X(DestroyTensorBuffer, void, (Handle buffer))                                                                                        \
  X(LockTensorBuffer, int, (Handle buffer, void** host, int mode))                                                                     \
  X(UnlockTensorBuffer, int, (Handle buffer))                                                                                          \
  X(RunCompiledModel, int, (Handle compiled, Index signature, std::size_t inputs, Handle * in, std::size_t outputs, Handle * out))     \
  X(CompiledModelGetProfiler, int, (Handle compiled, Handle * profiler))                                                               \
  X(StartProfiler, int, (Handle profiler))                                                                                             \
  X(StopProfiler, int, (Handle profiler))                                                                                              \
  X(ResetProfiler, int, (Handle profiler))                                                                                             \
  X(GetNumProfilerEvents, int, (Handle profiler, int* count))                                                                          \
  X(GetProfilerEvents, int, (Handle profiler, int count, ProfileEvent* events))

// The functions as pointers; open() fills them.
struct Api {
#define WHERRY_LITERT_POINTER(function, result, parameters) result(*function) parameters = nullptr;
  WHERRY_LITERT_FUNCTIONS(WHERRY_LITERT_POINTER)
#undef WHERRY_LITERT_POINTER
};

}  // namespace wherry::litert
