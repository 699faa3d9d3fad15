#pragma once
// Laws are tested on every backend: TEST_CASE_TEMPLATE("…", B, MQL4GREC_TEST_BACKENDS). That a fast backend equals the
// reference is tested for each scalar: TEST_CASE_TEMPLATE("…", S, MQL4GREC_TEST_FAST_SETTINGS), with S::backend and
// S::scalar. The list is chosen here, once: the same files are compiled for the host, with the portable GPU systems
// where CCCL was found, and by nvcc only for CUDA.
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#if defined(__CUDACC__)
#include "mql4grec/backend/gpu/gpu.cuh"
#elif MQL4GREC_HAS_THRUST
#include "mql4grec/backend/gpu/gpu.hpp"
#endif

#define MQL4GREC_TEST_SETTINGS_OF(...) \
  ::mql4grec::test::setting<__VA_ARGS__, float>, ::mql4grec::test::setting<__VA_ARGS__, double>

#if defined(__CUDACC__)
#define MQL4GREC_TEST_BACKENDS ::mql4grec::gpu::backend<::mql4grec::gpu::cuda>
#define MQL4GREC_TEST_FAST_SETTINGS MQL4GREC_TEST_SETTINGS_OF(::mql4grec::gpu::backend<::mql4grec::gpu::cuda>)
#define MQL4GREC_TEST_DEVICE_BACKENDS ::mql4grec::gpu::backend<::mql4grec::gpu::cuda>
#elif MQL4GREC_HAS_THRUST
// whole models are compiled for one of the two systems, OpenMP's, where threads run in any order; single operations for
// both
#define MQL4GREC_TEST_BACKENDS \
  ::mql4grec::reference::backend, ::mql4grec::cpu::backend, ::mql4grec::gpu::backend<::mql4grec::gpu::omp>
#define MQL4GREC_TEST_FAST_SETTINGS                                              \
  MQL4GREC_TEST_SETTINGS_OF(::mql4grec::cpu::backend),                           \
      MQL4GREC_TEST_SETTINGS_OF(::mql4grec::gpu::backend<::mql4grec::gpu::cpp>), \
      MQL4GREC_TEST_SETTINGS_OF(::mql4grec::gpu::backend<::mql4grec::gpu::omp>)
// what only backends with memory of their own do; not defined where there are none
#define MQL4GREC_TEST_DEVICE_BACKENDS \
  ::mql4grec::gpu::backend<::mql4grec::gpu::cpp>, ::mql4grec::gpu::backend<::mql4grec::gpu::omp>
#else
#define MQL4GREC_TEST_BACKENDS ::mql4grec::reference::backend, ::mql4grec::cpu::backend
#define MQL4GREC_TEST_FAST_SETTINGS MQL4GREC_TEST_SETTINGS_OF(::mql4grec::cpu::backend)
#endif

namespace mql4grec::test {

template <Backend B, class T>
struct setting {
  using backend = B;
  using scalar = T;
};

/// A backend's tolerance relative to the exact result, for CHECK_CLOSE: sums in another order, exp by a polynomial.
template <class B, class T>
inline constexpr double tolerance = std::is_same_v<T, float> ? 2e-5 : 1e-12;

}  // namespace mql4grec::test
