#pragma once
// RMSNorm for float: dx is overwritten, dgain is accumulated. Each row is read twice; a row of T5's width stays in the
// first-level cache, so it is read from memory once.
#include <cmath>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct rms_norm_forward_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t x_stride, float const* gain, float eps, float* y,
                                  index_t y_stride, float* inv_rms, index_t rows, index_t d) {
    for (index_t i = 0; i < rows; ++i, x += x_stride, y += y_stride) {
      float const r = 1.f / __builtin_sqrtf(dot(x, x, d) / static_cast<float>(d) + eps);
      inv_rms[i] = r;
      for (index_t j = 0; j < d; ++j) y[j] = x[j] * r * gain[j];
    }
  }
};

struct rms_norm_backward_kernel {
  MQL4GREC_INLINE static void run(rms_norm_inputs<host_space, float> const& in, float const* inv_rms,
                                  view<float const, host_space, 2> dout,
                                  rms_norm_gradients<host_space, float> const& out) {
    float const *x = in.x.data, *const gain = in.gain.data, *dy = dout.data;
    float *dx = out.dx.data, *const dgain = out.dgain.data;
    index_t const rows = in.x.rows(), d = in.x.columns();
    index_t const x_stride = in.x.stride, dy_stride = dout.stride, dx_stride = out.dx.stride;
    for (index_t i = 0; i < rows; ++i, x += x_stride, dy += dy_stride, dx += dx_stride) {
      float const r = inv_rms[i];
      float part[lanes] = {};
      index_t j = 0;
      for (; j + lanes <= d; j += lanes)
        for (index_t l = 0; l < lanes; ++l) part[l] += dy[j + l] * gain[j + l] * x[j + l];
      for (index_t l = 0; j + l < d; ++l) part[l] += dy[j + l] * gain[j + l] * x[j + l];
      float const inner_product = sum_of_lanes(part);
      float const x_factor = inner_product * r * r * r / static_cast<float>(d);
      for (j = 0; j < d; ++j) {
        dgain[j] += dy[j] * x[j] * r;
        dx[j] = dy[j] * gain[j] * r - x[j] * x_factor;
      }
    }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void rms_norm_forward(backend&, rms_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y,
                      out_vector<backend, T> inv_rms) {
  dispatch<detail::rms_norm_forward_kernel>(in.x.data, in.x.stride, in.gain.data, static_cast<float>(eps), y.data,
                                            y.stride, inv_rms.data, in.x.rows(), in.x.columns());
}

template <std::same_as<float> T>
void rms_norm_backward(backend&, rms_norm_inputs<host_space, T> const& in, in_vector<backend, T> inv_rms,
                       in_matrix<backend, T> dy, rms_norm_gradients<host_space, T> const& out) {
  dispatch<detail::rms_norm_backward_kernel>(in, static_cast<float const*>(inv_rms.data), dy, out);
}

}  // namespace mql4grec::cpu
