#pragma once
// oneDNN's sgemm, run on the calling thread only.
#if MQL4GREC_HAS_ONEDNN
#include <dnnl.h>
#include <signal.h>

#include "mql4grec/backend/cpu/runtime/backend.hpp"

#if defined(_OPENMP)
#include <omp.h>
#else  // <omp.h> is part of the compiler; clang's is a separate package
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);
#endif

namespace mql4grec::cpu::detail {

/// Sets OpenMP's thread count, which is a setting of the calling thread, to 1, and restores it at the end.
class single_omp_thread {
 public:
  single_omp_thread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  single_omp_thread(single_omp_thread const&) = delete;
  single_omp_thread& operator=(single_omp_thread const&) = delete;
  ~single_omp_thread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }

 private:
  int before_;
};

/// Blocks signals while it exists. oneDNN's generated kernels (seen in 2.6.3) move the stack pointer into a heap block:
/// a signal handler that runs there writes its frame, 3 kB with AVX-512, over the block's neighbours. Costs 0.4 µs.
class signals_held_back {
 public:
  signals_held_back() {
    ::sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  signals_held_back(signals_held_back const&) = delete;
  signals_held_back& operator=(signals_held_back const&) = delete;
  ~signals_held_back() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  ::sigset_t before_;
};

/// c = alpha · op(a) · op(b) + beta · c, row-major.
inline void onednn_product(in_matrix<backend, float> a, in_matrix<backend, float> b, out_matrix<backend, float> c,
                           product how) {
  single_omp_thread const alone;
  signals_held_back const undisturbed;
  auto const flag = [](bool transpose) { return transpose ? 'T' : 'N'; };
  dnnl_sgemm(flag(how.transpose_a), flag(how.transpose_b), c.rows(), c.columns(),
             how.transpose_a ? a.rows() : a.columns(), static_cast<float>(how.alpha), a.data, a.stride, b.data,
             b.stride, how.accumulate ? 1.f : 0.f, c.data, c.stride);
}

}  // namespace mql4grec::cpu::detail
#endif
