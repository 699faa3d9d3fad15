#pragma once
// LayerNorm for float. Each row is read three times; a row of an encoder's width stays in the first-level cache.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

/// Σ (x − shift)²
MQL4GREC_INLINE float sum_of_squares_around(float const* x, index_t n, float shift) {
  float part[lanes] = {};
  index_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += (x[i + l] - shift) * (x[i + l] - shift);
  for (index_t l = 0; i + l < n; ++l) part[l] += (x[i + l] - shift) * (x[i + l] - shift);
  return sum_of_lanes(part);
}

struct layer_norm_forward_kernel {
  MQL4GREC_INLINE static void run(layer_norm_inputs<host_space, float> const& in, float eps,
                                  out_matrix<backend, float> out) {
    float const *x = in.x.data, *const gain = in.gain.data, *const bias = in.bias.data;
    float* y = out.data;
    index_t const rows = in.x.rows(), d = in.x.columns(), x_stride = in.x.stride, y_stride = out.stride;
    for (index_t i = 0; i < rows; ++i, x += x_stride, y += y_stride) {
      float const mean = sum(x, d) / static_cast<float>(d);
      float const r = 1.f / __builtin_sqrtf(sum_of_squares_around(x, d, mean) / static_cast<float>(d) + eps);
      for (index_t j = 0; j < d; ++j) y[j] = (x[j] - mean) * r * gain[j] + bias[j];
    }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void layer_norm_forward(backend&, layer_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y) {
  dispatch<detail::layer_norm_forward_kernel>(in, static_cast<float>(eps), y);
}

}  // namespace mql4grec::cpu
