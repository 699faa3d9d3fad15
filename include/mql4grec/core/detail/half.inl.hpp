#pragma once
// The definitions of half.hpp.
#include <cassert>
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "mql4grec/core/detail/half.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

MQL4GREC_DEFINITION void widen_portably(host_vector_view<half const> from, host_vector_view<float> to) {
  for (index_t i = 0; i < from.size(); ++i) to(i) = static_cast<float>(from(i));
}

#if defined(__x86_64__) && defined(__GNUC__)
/// Clang 14's __builtin_cpu_supports doesn't support "f16c", so CPUID is read directly. It supports "avx", which
/// implies that the operating system saves the registers.
MQL4GREC_DEFINITION bool has_f16c() {
  static bool const has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return has;
}
/// Converts eight entries per instruction: ten times as fast as the loop, which would be slower than reading the file.
[[gnu::target("avx,f16c")]] MQL4GREC_DEFINITION void widen_by_f16c(host_vector_view<half const> from,
                                                                   host_vector_view<float> to) {
  index_t const whole = from.size() / 8 * 8;
  for (index_t i = 0; i < whole; i += 8) {
    __m128i const eight = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from.data + i));
    _mm256_storeu_ps(to.data + i, _mm256_cvtph_ps(eight));
  }
  for (index_t i = whole; i < from.size(); ++i) to.data[i] = _cvtsh_ss(from.data[i].bits);
}
#else
MQL4GREC_DEFINITION bool has_f16c() { return false; }
MQL4GREC_DEFINITION void widen_by_f16c(host_vector_view<half const> from, host_vector_view<float> to) {
  widen_portably(from, to);
}
#endif

MQL4GREC_DEFINITION void widen(host_vector_view<half const> from, host_vector_view<float> to) {
  assert(from.size() == to.size());
  return has_f16c() ? widen_by_f16c(from, to) : widen_portably(from, to);
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
