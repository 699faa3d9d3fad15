#pragma once
// Floating point of two bytes, as files hold it.
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdint>
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "mql4grec/core/view.hpp"

namespace mql4grec::detail {

struct half {  // IEEE 754 binary16
  std::uint16_t bits;
  explicit operator float() const {
    std::uint32_t const sign = std::uint32_t{bits} >> 15 << 31, exponent = (bits >> 10) & 31u, fraction = bits & 1023u;
    if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, std::bit_cast<float>(sign | 0x3F800000u));
    return std::bit_cast<float>(sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13);
  }
};
struct bfloat16 {  // the upper half of a binary32
  std::uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// The loop that any machine can run.
inline void widen_portably(host_vector_view<half const> from, host_vector_view<float> to) {
  for (index_t i = 0; i < from.size(); ++i) to(i) = static_cast<float>(from(i));
}

#if defined(__x86_64__) && defined(__GNUC__)
/// Clang 14 can't be asked for F16C by name; AVX, which is asked for by name, stands for the system's part.
inline bool has_f16c() {
  static bool const has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return has;
}
/// Eight at a time in one instruction: ten times as fast as the loop, which would be slower than reading the file.
[[gnu::target("avx,f16c")]] inline void widen_by_f16c(host_vector_view<half const> from, host_vector_view<float> to) {
  index_t const whole = from.size() / 8 * 8;
  for (index_t i = 0; i < whole; i += 8) {
    __m128i const eight = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from.data + i));
    _mm256_storeu_ps(to.data + i, _mm256_cvtph_ps(eight));
  }
  for (index_t i = whole; i < from.size(); ++i) to.data[i] = _cvtsh_ss(from.data[i].bits);
}
#else
inline bool has_f16c() { return false; }
inline void widen_by_f16c(host_vector_view<half const> from, host_vector_view<float> to) { widen_portably(from, to); }
#endif

/// Exactly the same numbers as floats; what isn't a number stays none.
inline void widen(host_vector_view<half const> from, host_vector_view<float> to) {
  assert(from.size() == to.size());
  return has_f16c() ? widen_by_f16c(from, to) : widen_portably(from, to);
}

}  // namespace mql4grec::detail
