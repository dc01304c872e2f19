// Loops compiled twice: for the build's own instruction set and for AVX2 with FMA, chosen at run time.
#pragma once

#include <cstddef>

namespace wherry {

#if defined(__x86_64__)
inline bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}

inline bool has_avx512() {
  static const bool has = has_avx2() && __builtin_cpu_supports("avx512f");
  return has;
}

template <class Body>
__attribute__((target("avx2,fma"), flatten, noinline)) void run_avx2(const Body& body) {
  body();
}
template <class Body>
__attribute__((flatten, noinline)) void run_plain(const Body& body) {
  body();
}

// Runs body(), a lambda whose calls can all be inlined.
template <class Body>
void vectorised(const Body& body) {
  has_avx2() ? run_avx2(body) : run_plain(body);
}
#else
template <class Body>
void vectorised(const Body& body) {
  body();
}
#endif

}  // namespace wherry
