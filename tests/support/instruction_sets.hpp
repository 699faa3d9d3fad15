#pragma once
// Runs a test on every instruction set that machine and library support, regardless of the default choice.
#include <doctest/doctest.h>

#include <string>

#include "mql4grec/backend/cpu/matmul/onednn.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::test {

inline std::string name_of(cpu::instruction_set set) {
  switch (set) {
    case cpu::instruction_set::baseline: return "baseline";
    case cpu::instruction_set::avx2: return "AVX2";
    case cpu::instruction_set::avx512: return "AVX-512";
    case cpu::instruction_set::amx: return "AMX";
  }
  return "unknown";
}

/// Restores the allowed instruction set at the end of a scope.
struct restored_instruction_set {
  cpu::instruction_set const before = cpu::allowed_instruction_set();
  ~restored_instruction_set() { cpu::allowed_instruction_set() = before; }
};

/// Calls task() with each instruction set, the best one last. The allowed one is restored afterwards, also after an
/// exception.
template <class Task>
void for_each_instruction_set(Task&& task) {
  using enum cpu::instruction_set;
  restored_instruction_set const afterwards;
  for (auto set : {baseline, avx2, avx512}) {
    if (set > cpu::best_instruction_set()) break;
    cpu::allowed_instruction_set() = set;
    CAPTURE(name_of(set));
    task();
  }
}

#if MQL4GREC_HAS_ONEDNN
/// While it exists, products of bfloat16 are computed as large ones are on a machine with AMX. oneDNN uses the
/// instructions that there are.
struct forced_amx {
  restored_instruction_set const afterwards;
  index_t const before = cpu::detail::smallest_amx_product();
  forced_amx() {
    cpu::allowed_instruction_set() = cpu::instruction_set::amx;
    cpu::detail::smallest_amx_product() = 0;
  }
  forced_amx(forced_amx const&) = delete;
  forced_amx& operator=(forced_amx const&) = delete;
  ~forced_amx() { cpu::detail::smallest_amx_product() = before; }
};
#endif

/// Calls task() with forced_amx if there are oneDNN and AVX-512.
template <class Task>
void with_forced_amx([[maybe_unused]] Task&& task) {
#if MQL4GREC_HAS_ONEDNN
  if (cpu::best_instruction_set() < cpu::instruction_set::avx512) return;  // there, oneDNN's are plain loops
  forced_amx const forced;
  CAPTURE(name_of(cpu::instruction_set::amx));
  task();
#endif
}

/// Calls task() with each instruction set, and with forced_amx.
template <class Task>
void for_each_bf16_product(Task&& task) {
  for_each_instruction_set(task);
  with_forced_amx(task);
}

}  // namespace mql4grec::test
