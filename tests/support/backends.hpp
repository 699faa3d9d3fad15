#pragma once
// Laws are tested on every backend: TEST_CASE_TEMPLATE("…", B, MQL4GREC_TEST_BACKENDS). That a fast backend equals the
// reference is tested for each scalar: TEST_CASE_TEMPLATE("…", S, MQL4GREC_TEST_FAST_SETTINGS), with S::backend and S::scalar.
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"

#define MQL4GREC_TEST_BACKENDS ::mql4grec::reference::backend, ::mql4grec::cpu::backend
#define MQL4GREC_TEST_FAST_SETTINGS \
  ::mql4grec::test::setting<::mql4grec::cpu::backend, float>, ::mql4grec::test::setting<::mql4grec::cpu::backend, double>

namespace mql4grec::test {

template <Backend B, class T>
struct setting {
  using backend = B;
  using scalar = T;
};

/// How far a backend may be from the exact result, as CHECK_CLOSE takes it: sums in another order, exp by a polynomial.
template <class B, class T>
inline constexpr double tolerance = std::is_same_v<T, float> ? 2e-5 : 1e-12;

}  // namespace mql4grec::test
