#pragma once
// Adding a bias to every row, for float. The gradient dbias is accumulated.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

struct bias_forward_kernel {
  MQL4GREC_INLINE static void run(float const* bias, float* y, index_t stride, index_t rows, index_t d) {
    for (index_t i = 0; i < rows; ++i, y += stride)
      for (index_t j = 0; j < d; ++j) y[j] += bias[j];
  }
};

struct bias_relu_forward_kernel {
  MQL4GREC_INLINE static void run(float const* bias, float* y, index_t stride, index_t rows, index_t d) {
    for (index_t i = 0; i < rows; ++i, y += stride)
      for (index_t j = 0; j < d; ++j) {
        float const x = y[j] + bias[j];
        y[j] = x > 0.f ? x : 0.f;
      }
  }
};

struct bias_backward_kernel {
  MQL4GREC_INLINE static void run(float const* dy, index_t stride, index_t rows, index_t d, float* dbias) {
    for (index_t i = 0; i < rows; ++i, dy += stride)
      for (index_t j = 0; j < d; ++j) dbias[j] += dy[j];
  }
};

}  // namespace detail

template <std::same_as<float> T>
void bias_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y) {
  dispatch<detail::bias_forward_kernel>(bias.data, y.data, y.stride, y.rows(), y.columns());
}

template <std::same_as<float> T>
void bias_relu_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y) {
  dispatch<detail::bias_relu_forward_kernel>(bias.data, y.data, y.stride, y.rows(), y.columns());
}

template <std::same_as<float> T>
void bias_backward(backend&, in_matrix<backend, T> dy, out_vector<backend, T> dbias) {
  dispatch<detail::bias_backward_kernel>(dy.data, dy.stride, dy.rows(), dy.columns(), dbias.data);
}

}  // namespace mql4grec::cpu
