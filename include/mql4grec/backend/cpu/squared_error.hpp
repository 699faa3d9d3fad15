#pragma once
// Squared error and scaled addition for float. dx is overwritten and may be x.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct squared_error_kernel {
  /// dx is empty when only the sum is needed. Rows are summed in float, the rows' sums in double.
  MQL4GREC_INLINE static double run(in_matrix<backend, float> in, in_matrix<backend, float> to, float scale,
                                    out_matrix<backend, float> gradient) {
    float const *x = in.data, *target = to.data;
    float* dx = gradient.data;
    index_t const rows = in.rows(), d = in.columns();
    index_t const x_stride = in.stride, target_stride = to.stride, dx_stride = gradient.stride;
    double all = 0;
    for (index_t i = 0; i < rows; ++i, x += x_stride, target += target_stride) {
      float part[lanes] = {};
      index_t j = 0;
      for (; j + lanes <= d; j += lanes)
        for (index_t l = 0; l < lanes; ++l) {
          float const difference = x[j + l] - target[j + l];
          part[l] += difference * difference;
          if (dx) dx[j + l] = scale * difference;
        }
      for (; j < d; ++j) {
        float const difference = x[j] - target[j];
        part[0] += difference * difference;
        if (dx) dx[j] = scale * difference;
      }
      all += static_cast<double>(sum_of_lanes(part));
      if (dx) dx += dx_stride;
    }
    return all;
  }
};

struct add_scaled_kernel {
  MQL4GREC_INLINE static void run(float factor, in_matrix<backend, float> in, out_matrix<backend, float> out) {
    float const* x = in.data;
    float* y = out.data;
    index_t const rows = out.rows(), d = out.columns(), x_stride = in.stride, y_stride = out.stride;
    for (index_t i = 0; i < rows; ++i, x += x_stride, y += y_stride) add_scaled(factor, x, y, d);
  }
};

}  // namespace detail

template <std::same_as<float> T>
T squared_error_forward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target) {
  return static_cast<T>(dispatch<detail::squared_error_kernel>(x, target, 0.f, out_matrix<backend, T>()));
}

template <std::same_as<float> T>
void squared_error_backward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target, double scale,
                            squared_error_results<host_space, T> const& out) {
  out.error(0) = static_cast<T>(dispatch<detail::squared_error_kernel>(x, target, static_cast<float>(scale), out.dx));
}

template <std::same_as<float> T>
void add_scaled(backend&, double factor, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  dispatch<detail::add_scaled_kernel>(static_cast<float>(factor), x, y);
}

}  // namespace mql4grec::cpu
