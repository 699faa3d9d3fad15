#pragma once
// Runs a test on every instruction set that machine and library support, regardless of the default choice.
#include <doctest/doctest.h>

#include <string>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::test {

inline std::string name_of(cpu::instruction_set set) {
  switch (set) {
    case cpu::instruction_set::baseline: return "baseline";
    case cpu::instruction_set::avx2: return "AVX2";
    case cpu::instruction_set::avx512: return "AVX-512";
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

}  // namespace mql4grec::test
