#pragma once
// Products of floats and doubles go to a library, one thread each: parallelism is over blocks of tokens, above. oneDNN's
// sgemm, where it is there, generates code for the machine's own instructions; OpenBLAS picks from the kernels it was
// built with. Other fields (std::complex, long double) are Eigen's.
#include <cblas.h>
#if MQL4GREC_HAS_ONEDNN
#include <dnnl.h>
#endif
#include <mutex>

#include "mql4grec/backend/cpu/backend.hpp"
#include "mql4grec/backend/cpu/eigen.hpp"

#if MQL4GREC_HAS_ONEDNN  // declared here: <omp.h> belongs to the compiler, and clang's is a package of its own
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);
#endif

namespace mql4grec::cpu {

namespace detail {

/// A BLAS that starts threads of its own would fight with ours.
inline void keep_blas_single_threaded() {
#if MQL4GREC_HAS_OPENBLAS
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
#endif
}

#if MQL4GREC_HAS_ONEDNN
/// OpenMP's thread count is the calling thread's own setting; the caller gets it back.
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
#endif

inline int to_int(index_t n) { return static_cast<int>(n); }

}  // namespace detail

/// Name of the library that multiplies float matrices, for reports.
inline char const* matmul_library() {
#if MQL4GREC_HAS_ONEDNN
  return "oneDNN";
#else
  return "CBLAS";
#endif
}

template <std::same_as<float> T>
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  auto const inner = how.transpose_a ? a.rows() : a.columns();
  if (c.size() == 0 || inner == 0) return reference::matmul<T>(where, a, b, c, how);  // libraries leave C as it is
  using detail::to_int;
#if MQL4GREC_HAS_ONEDNN
  detail::single_omp_thread const guard;
  dnnl_sgemm(how.transpose_a ? 'T' : 'N', how.transpose_b ? 'T' : 'N', c.rows(), c.columns(), inner, static_cast<float>(how.alpha),
             a.data, a.stride, b.data, b.stride, how.accumulate ? 1.f : 0.f, c.data, c.stride);
#else
  detail::keep_blas_single_threaded();
  cblas_sgemm(CblasRowMajor, how.transpose_a ? CblasTrans : CblasNoTrans, how.transpose_b ? CblasTrans : CblasNoTrans,
              to_int(c.rows()), to_int(c.columns()), to_int(inner), static_cast<float>(how.alpha), a.data, to_int(a.stride), b.data,
              to_int(b.stride), how.accumulate ? 1.f : 0.f, c.data, to_int(c.stride));
#endif
}

template <std::same_as<double> T>
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  auto const inner = how.transpose_a ? a.rows() : a.columns();
  if (c.size() == 0 || inner == 0) return reference::matmul<T>(where, a, b, c, how);  // libraries leave C as it is
  using detail::to_int;
  detail::keep_blas_single_threaded();
  cblas_dgemm(CblasRowMajor, how.transpose_a ? CblasTrans : CblasNoTrans, how.transpose_b ? CblasTrans : CblasNoTrans,
              to_int(c.rows()), to_int(c.columns()), to_int(inner), how.alpha, a.data, to_int(a.stride), b.data, to_int(b.stride),
              how.accumulate ? 1. : 0., c.data, to_int(c.stride));
}

template <Field T>
  requires(!std::same_as<T, float> && !std::same_as<T, double>)
void matmul(backend&, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  auto const left = as_eigen(a), right = as_eigen(b);
  auto out = as_eigen(c);
  auto const write = [&](auto const& x, auto const& y) {  // the transposes are expressions of different types
    if (how.accumulate)
      out.noalias() += constant<T>(how.alpha) * (x * y);
    else
      out.noalias() = constant<T>(how.alpha) * (x * y);
  };
  if (how.transpose_a && how.transpose_b) write(left.transpose(), right.transpose());
  else if (how.transpose_a) write(left.transpose(), right);
  else if (how.transpose_b) write(left, right.transpose());
  else write(left, right);
}

}  // namespace mql4grec::cpu
