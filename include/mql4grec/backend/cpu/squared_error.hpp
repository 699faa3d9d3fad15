#pragma once
// Squared error and scaled addition for float. dx is overwritten and may be x.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct squared_error_kernel {
  /// dx: null when only the sum is needed. Rows are summed in float, the rows' sums in double.
  MQL4GREC_INLINE static double run(float const* x, index_t x_stride, float const* target, index_t target_stride,
                                    index_t rows, index_t d, float scale, float* dx, index_t dx_stride) {
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
  MQL4GREC_INLINE static void run(float factor, float const* x, index_t x_stride, float* y, index_t y_stride,
                                  index_t rows, index_t d) {
    for (index_t i = 0; i < rows; ++i, x += x_stride, y += y_stride) add_scaled(factor, x, y, d);
  }
};

}  // namespace detail

template <std::same_as<float> T>
T squared_error_forward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target) {
  return static_cast<T>(dispatch<detail::squared_error_kernel>(x.data, x.stride, target.data, target.stride, x.rows(),
                                                               x.columns(), 0.f, static_cast<float*>(nullptr),
                                                               index_t{0}));
}

template <std::same_as<float> T>
void squared_error_backward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target, double scale,
                            squared_error_results<host_space, T> const& out) {
  out.error(0) = static_cast<T>(dispatch<detail::squared_error_kernel>(x.data, x.stride, target.data, target.stride,
                                                                       x.rows(), x.columns(), static_cast<float>(scale),
                                                                       out.dx.data, out.dx.stride));
}

template <std::same_as<float> T>
void add_scaled(backend&, double factor, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  dispatch<detail::add_scaled_kernel>(static_cast<float>(factor), x.data, x.stride, y.data, y.stride, x.rows(),
                                      x.columns());
}

}  // namespace mql4grec::cpu
