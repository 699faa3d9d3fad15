#pragma once
// Linear layers whose bias and ReLU cuBLASLt applies before it writes the product: one pass over the result instead of
// two or three. Only for float; for other scalars, and where cuBLASLt has no such kernel, a layer is a product followed
// by separate operations.
#include "mql4grec/backend/gpu/activation.hpp"
#include "mql4grec/backend/gpu/bias.hpp"
#include "mql4grec/backend/gpu/matmul/cublas.cuh"

namespace mql4grec::gpu {

namespace detail {

/// y (rows,out) = end(alpha · x (rows,in) · weightᵀ [+ bias]). Returns false when nothing was computed. Requires rows
/// that are multiples of 16 bytes, as in any usual layer: kernels add biases in vectors, and cuBLASLt doesn't document
/// how they handle others.
inline bool multiply_and_end(backend<cuda>& b, in_matrix<backend<cuda>, float> x,
                             in_matrix<backend<cuda>, float> weight, double alpha, cublasLtEpilogue_t end,
                             float const* bias, out_matrix<backend<cuda>, float> y) {
  if (y.size() == 0 || x.columns() == 0 || y.columns() % 4 != 0) return false;
  if (alignment_of(y.data, y.stride * static_cast<index_t>(sizeof(float))) < 16 || alignment_of(bias, 0) < 16)
    return false;
  return multiply<float>(b, x, weight, y, {.transpose_b = true, .alpha = alpha}, end, bias);
}

}  // namespace detail

/// y (rows,out) = x (rows,in) · weightᵀ + bias (out)
template <std::same_as<float> T>
void dense_forward(backend<cuda>& b, in_matrix<backend<cuda>, T> x, in_matrix<backend<cuda>, T> weight,
                   in_vector<backend<cuda>, T> bias, out_matrix<backend<cuda>, T> y) {
  if (detail::multiply_and_end(b, x, weight, 1, CUBLASLT_EPILOGUE_BIAS, bias.data, y)) return;
  matmul<T>(b, x, weight, y, {.transpose_b = true});
  bias_forward<T>(b, bias, y);
}

/// y (rows,out) = max(0, x (rows,in) · weightᵀ + bias (out))
template <std::same_as<float> T>
void dense_relu_forward(backend<cuda>& b, in_matrix<backend<cuda>, T> x, in_matrix<backend<cuda>, T> weight,
                        in_vector<backend<cuda>, T> bias, out_matrix<backend<cuda>, T> y) {
  if (detail::multiply_and_end(b, x, weight, 1, CUBLASLT_EPILOGUE_RELU_BIAS, bias.data, y)) return;
  matmul<T>(b, x, weight, y, {.transpose_b = true});
  bias_relu_forward<T>(b, bias, y);
}

/// y (rows,out) = max(0, alpha · x (rows,in) · weightᵀ)
template <std::same_as<float> T>
void linear_relu_forward(backend<cuda>& b, in_matrix<backend<cuda>, T> x, in_matrix<backend<cuda>, T> weight,
                         double alpha, out_matrix<backend<cuda>, T> y) {
  if (detail::multiply_and_end(b, x, weight, alpha, CUBLASLT_EPILOGUE_RELU, nullptr, y)) return;
  matmul<T>(b, x, weight, y, {.transpose_b = true, .alpha = alpha});
  relu_forward<T>(b, dropout{}, y);
}

}  // namespace mql4grec::gpu
