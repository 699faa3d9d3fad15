#pragma once
// Matrix products on NVIDIA GPUs with cuBLASLt.
#include <cstdint>

#include "mql4grec/backend/contract/matmul.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/backend/gpu/runtime/cuda_system.cuh"

namespace mql4grec::gpu {

namespace detail {

/// The largest power of two, up to 16, that divides an address and the distance between its rows. It is limited to 16
/// so that the position of scratch memory doesn't affect which kernel is chosen.
inline int alignment_of(void const* data, index_t row_bytes) {
  auto const bits = reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(row_bytes) | 16u;
  return static_cast<int>(bits & (~bits + 1));
}

/// The result of a product with an inner dimension of 0: C is kept or set to 0.
template <Real T, class M>
struct keep_entry {
  bool keep;
  M c;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { c(i, j) = keep ? c(i, j) : T{}; }
};

template <Real T>
cublasComputeType_t compute_type(cuda_options const& how) {
  if constexpr (std::same_as<T, double>) return CUBLAS_COMPUTE_64F;
  switch (how.products) {
    case precision::bf16: return CUBLAS_COMPUTE_32F_FAST_16BF;
    case precision::tf32: return CUBLAS_COMPUTE_32F_FAST_TF32;
    case precision::int8:  // refused by the backend's constructor
    case precision::fp32: break;
  }
  return CUBLAS_COMPUTE_32F;
}

/// C (m,n) = epilogue([C +] alpha · op(A) (m,k) · op(B) (k,n)), row-major, or a batch of them; no matrix may be empty.
/// cuBLASLt reads memory in column-major order, where it contains the transposed matrices: it computes Cᵀ = op(B)ᵀ
/// op(A)ᵀ. A bias has one entry per column of C, which is a row of Cᵀ, as cuBLASLt requires. Returns false, without
/// computing anything, when cuBLASLt has no such kernel.
template <Real T>
bool multiply(backend<cuda>& where, in_matrix<backend<cuda>, T> a, in_matrix<backend<cuda>, T> b,
              out_matrix<backend<cuda>, T> c, product how, cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT,
              T const* bias = nullptr) {
  auto& context = where.context();
  T const alpha = static_cast<T>(how.alpha), beta = static_cast<T>(how.accumulate ? 1 : 0);
  int alignment = 16;
  for (auto const& m : {in_matrix<backend<cuda>, T>(a), in_matrix<backend<cuda>, T>(b), in_matrix<backend<cuda>, T>(c)})
    alignment = std::min(alignment, alignment_of(m.data, m.stride * static_cast<index_t>(sizeof(T))));
  auto const stride = [](index_t s) { return std::max<index_t>(1, s); };
  auto const stream = context.stream();
  product_shape const shape{.m = c.columns(),
                            .n = c.rows() / how.batch,
                            .k = how.transpose_a ? a.rows() / how.batch : a.columns(),
                            .stride_a = stride(b.stride),
                            .stride_b = stride(a.stride),
                            .stride_c = stride(c.stride),
                            .batch = how.batch,
                            .transpose_a = how.transpose_b,
                            .transpose_b = how.transpose_a,
                            .alignment = alignment,
                            .compute = compute_type<T>(context.how()),
                            .type = std::same_as<T, double> ? CUDA_R_64F : CUDA_R_32F,
                            .epilogue = epilogue};
  auto const& plan = context.plans().of(context.handle(), shape, context.how().workspace, bias);
  if (!plan.has_kernel()) return false;
  if (bias) plan.set_bias(bias);
  check(
      cublasLtMatmul(context.handle(), plan.what(), &alpha, b.data, plan.a(), a.data, plan.b(), &beta, c.data, plan.c(),
                     c.data, plan.c(), &plan.algorithm(), context.workspace(), context.how().workspace, stream),
      "cublasLtMatmul");
  return true;
}

}  // namespace detail

/// C (m,n) = [C +] alpha · op(A) (m,k) · op(B) (k,n); a batch of them, see product
template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void matmul(backend<cuda>& where, in_matrix<backend<cuda>, T> a, in_matrix<backend<cuda>, T> b,
            out_matrix<backend<cuda>, T> c, product how) {
  if (c.size() == 0) return;
  if ((how.transpose_a ? a.rows() : a.columns()) > 0)
    detail::multiply<T>(where, a, b, c, how);
  else
    detail::for_each_entry(where, c.rows(), c.columns(), detail::keep_entry<T, decltype(c)>{how.accumulate, c});
}

}  // namespace mql4grec::gpu
