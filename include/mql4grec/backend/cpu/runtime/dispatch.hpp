#pragma once
// Run-time choice of the instruction set. Kernels are plain loops that are compiled once per instruction set: a binary
// built for any x86-64 uses AVX-512 where the machine has it. A kernel is a struct with a static, always-inlined `run`
// without calls that cannot be inlined. It is inlined into the wrappers below, whose target attribute selects the
// instructions, and -O3 vectorizes it. Sums are kept in `lanes` independent parts, because compilers may not reorder
// float additions.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__) && defined(__clang__)
#include <cpuid.h>
#endif

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::cpu {

/// The number of entries that kernels process in parallel: one AVX-512 register of floats, two of AVX2, four of SSE.
inline constexpr index_t lanes = 16;

/// The instruction sets that kernels are compiled for, in increasing order. `amx` is AVX-512 with AMX tiles for large
/// products of bfloat16, which are oneDNN's; kernels aren't compiled for it.
enum class instruction_set { baseline, avx2, avx512, amx };

/// The best instruction set of this machine that kernels are compiled for.
inline instruction_set best_instruction_set() {
#if defined(__x86_64__) && defined(__GNUC__)
  static instruction_set const best = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      return instruction_set::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return instruction_set::avx2;
    return instruction_set::baseline;
  }();
  return best;
#else
  return instruction_set::baseline;
#endif
}

/// The instruction set of this name: baseline, avx2, avx512 or amx. Throws error for any other name.
inline instruction_set parse_instruction_set(std::string_view name) {
  if (name == "baseline") return instruction_set::baseline;
  if (name == "avx2") return instruction_set::avx2;
  if (name == "avx512") return instruction_set::avx512;
  if (name == "amx") return instruction_set::amx;
  raise("MQL4GREC_MAX_INSTRUCTION_SET is '", name, "': expected baseline, avx2, avx512 or amx");
}

/// The best instruction set that kernels may use: that of the environment variable MQL4GREC_MAX_INSTRUCTION_SET, which
/// is read once, otherwise amx. Tests lower it to run the other code paths. BLAS and oneDNN have variables of their
/// own, OPENBLAS_CORETYPE and DNNL_MAX_CPU_ISA. Throws error if the variable has another value.
inline std::atomic<instruction_set>& allowed_instruction_set() {
  static std::atomic<instruction_set> allowed{[] {
    char const* const name = std::getenv("MQL4GREC_MAX_INSTRUCTION_SET");
    return name ? parse_instruction_set(name) : instruction_set::amx;
  }()};
  return allowed;
}

/// The instruction set that kernels use, at most avx512. Throws error as allowed_instruction_set does.
inline instruction_set chosen_instruction_set() {
  return std::min(best_instruction_set(), allowed_instruction_set().load(std::memory_order_relaxed));
}

/// Whether kernels use instructions for bfloat16 products (AVX512_BF16): the machine has them, and avx512 is allowed.
/// Otherwise factors are rounded and multiplied in fp32: results are equal up to the order of sums, but it is slower
/// than without rounding.
inline bool has_fast_bf16() {
#if defined(__x86_64__) && defined(__GNUC__)
  static bool const here = best_instruction_set() == instruction_set::avx512 && __builtin_cpu_supports("avx512bf16");
  return here && chosen_instruction_set() == instruction_set::avx512;
#else
  return false;
#endif
}

/// The instructions for products of 8-bit integers.
enum class int8_instructions {
  none,        ///< products are computed in fp32 instead
  avx2,        ///< pairs in 16 bits
  avx_vnni,    ///< four products at once, 256 bits
  avx512_vnni  ///< four products at once, 512 bits
};

#if defined(__x86_64__) && defined(__GNUC__)
/// Whether this machine has AVX512_VNNI.
inline bool has_avx512_vnni() {
  return best_instruction_set() == instruction_set::avx512 && __builtin_cpu_supports("avx512vnni");
}
/// Whether this machine has AVX-VNNI.
inline bool has_avx_vnni() {
  static bool const here = [] {
    if (best_instruction_set() < instruction_set::avx2) return false;
#if defined(__clang__)  // clang 14 doesn't know the name
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1u) != 0;
#else
    return __builtin_cpu_supports("avxvnni") != 0;
#endif
  }();
  return here;
}
#endif

/// The instructions that this machine has, within allowed_instruction_set(). Where that excludes AVX-512, it excludes
/// AVX-VNNI as well.
inline int8_instructions chosen_int8_instructions() {
#if defined(__x86_64__) && defined(__GNUC__)
  auto const allowed = chosen_instruction_set();
  if (allowed == instruction_set::baseline) return int8_instructions::none;
  if (allowed < best_instruction_set()) return int8_instructions::avx2;
  if (has_avx512_vnni()) return int8_instructions::avx512_vnni;
  return has_avx_vnni() ? int8_instructions::avx_vnni : int8_instructions::avx2;
#else
  return int8_instructions::none;
#endif
}

namespace detail {
#if defined(__x86_64__) && defined(__clang__)
#define MQL4GREC_AVX512 gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"), clang::min_vector_width(512)
#define MQL4GREC_AVX2 gnu::target("avx2,fma")
#elif defined(__x86_64__) && defined(__GNUC__)
#define MQL4GREC_AVX512 gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define MQL4GREC_AVX2 gnu::target("avx2,fma")
#endif
#if defined(MQL4GREC_AVX2)
template <class Kernel, class... Args>
[[MQL4GREC_AVX512]] auto run_avx512(Args... args) {
  return Kernel::run(args...);
}
template <class Kernel, class... Args>
[[MQL4GREC_AVX2]] auto run_avx2(Args... args) {
  return Kernel::run(args...);
}
#undef MQL4GREC_AVX512
#undef MQL4GREC_AVX2
#endif
}  // namespace detail

/// Runs a kernel with the chosen instruction set. Arguments are pointers, numbers and views, passed by value.
template <class Kernel, class... Args>
auto dispatch(Args... args) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::amx:
    case instruction_set::avx512: return detail::run_avx512<Kernel>(args...);
    case instruction_set::avx2: return detail::run_avx2<Kernel>(args...);
    case instruction_set::baseline: break;
  }
#endif
  return Kernel::run(args...);
}

}  // namespace mql4grec::cpu
