#pragma once
// Matrix products. Products of floats and doubles call a library on a single thread: parallelism is over blocks of
// tokens in the callers. oneDNN's sgemm, where available, generates code for the machine's instructions; OpenBLAS
// selects among the kernels that it was built with. Other fields (std::complex, long double) use the reference's loops.
// For a backend with bf16 products, floats are rounded first, and multiplied by oneDNN where it may use AMX, otherwise
// by this library's kernels.
#include <cblas.h>
#include <mutex>
#include <string_view>

#include "mql4grec/backend/cpu/matmul/bf16_product.hpp"
#include "mql4grec/backend/cpu/matmul/onednn.hpp"
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

/// Prevents BLAS from starting threads of its own, which would compete with the backend's workers.
inline void keep_blas_single_threaded() {
#if MQL4GREC_HAS_OPENBLAS
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
#endif
}

/// c = alpha · op(a) · op(b) + beta · c, row-major, through CBLAS.
template <class T>
void cblas_product(in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  keep_blas_single_threaded();
  auto const flag = [](bool transpose) { return transpose ? CblasTrans : CblasNoTrans; };
  auto const size = [](index_t n) { return static_cast<int>(n); };
  auto const call = [&](auto gemm) {
    gemm(CblasRowMajor, flag(how.transpose_a), flag(how.transpose_b), size(c.rows()), size(c.columns()),
         size(how.transpose_a ? a.rows() : a.columns()), static_cast<T>(how.alpha), a.data, size(a.stride), b.data,
         size(b.stride), static_cast<T>(how.accumulate ? 1 : 0), c.data, size(c.stride));
  };
  if constexpr (std::same_as<T, float>)
    call(cblas_sgemm);
  else
    call(cblas_dgemm);
}

#if MQL4GREC_HAS_ONEDNN
/// Whether oneDNN is preferred to OpenBLAS. Where OpenBLAS doesn't recognize the processor, or is configured for
/// another one, its kernels don't use AVX-512, and oneDNN is about twice as fast if AVX-512 is allowed. Otherwise
/// OpenBLAS is faster, because it keeps its buffers between calls.
inline bool prefers_onednn() {
#if MQL4GREC_HAS_OPENBLAS
  static bool const narrow = [] {
    std::string_view const core = openblas_get_corename();
    return core != "SkylakeX" && core != "Cooperlake" && core != "SapphireRapids";
  }();
  return narrow && chosen_instruction_set() == instruction_set::avx512;
#else
  return true;
#endif
}
#endif

}  // namespace detail

MQL4GREC_DEFINITION char const* matmul_library() {
#if MQL4GREC_HAS_ONEDNN
  if (detail::prefers_onednn()) return "oneDNN";
#endif
#if MQL4GREC_HAS_OPENBLAS
  return "OpenBLAS";
#else
  return "CBLAS";
#endif
}

namespace detail {

/// Calls the library that multiplies T fastest. No dimension may be 0.
template <class T>
void library_product(in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
#if MQL4GREC_HAS_ONEDNN
  if constexpr (std::same_as<T, float>)
    if (prefers_onednn()) return onednn_product(a, b, c, how);
#endif
  cblas_product<T>(a, b, c, how);
}

inline void rounded_product(backend& where, in_matrix<backend, float> a, in_matrix<backend, float> b,
                            out_matrix<backend, float> c, product how) {
#if MQL4GREC_HAS_ONEDNN
  if (prefers_amx(c.rows(), c.columns(), how.transpose_a ? a.rows() : a.columns())) {
    scratch_scope<backend> const scope(where.scratch());
    using enum inner_dimension;
    auto const left = stored_as_bf16(where, a, how.transpose_a ? rows : columns);
    auto const right = stored_as_bf16(where, b, how.transpose_b ? columns : rows);
    return amx_product(where, {left, how.transpose_a}, {right, how.transpose_b}, c, how);
  }
#endif
#if defined(__x86_64__) && defined(__GNUC__)
  if (has_fast_bf16()) return bf16_product(where, a, b, c, how);
#endif
  scratch_scope<backend> const scope(where.scratch());
  library_product<float>(rounded_to_bf16(where, a), rounded_to_bf16(where, b), c, how);
}

}  // namespace detail

template <class T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  if (index_t const batch = std::exchange(how.batch, 1); batch > 1)
    return for_each_product(a, b, c, batch, [&](auto x, auto y, auto z) { cpu::matmul<T>(where, x, y, z, how); });
  auto const inner = how.transpose_a ? a.rows() : a.columns();
  if (c.size() == 0 || inner == 0)
    return reference::matmul<T>(where, a, b, c, how);  // libraries don't write C in this case
  if constexpr (std::same_as<T, float>) {
#if MQL4GREC_HAS_ONEDNN
    if (where.products() == precision::bf16 && detail::prefers_amx(c.rows(), c.columns(), inner))
      return detail::rounded_product(where, a, b, c, how);  // packed weights are for other instructions
#endif
    if (auto const* const packed = where.packed_weights())
      if (auto const* const panels = packed->find(b, how)) return panels->product(where, a, c);
    if (where.products() == precision::bf16) return detail::rounded_product(where, a, b, c, how);
  }
  detail::library_product<T>(a, b, c, how);
}

}  // namespace mql4grec::cpu
