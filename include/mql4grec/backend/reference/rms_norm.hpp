#pragma once
// RMSNorm. dx is overwritten, dgain is accumulated: an activation has one consumer, a parameter has many.
#include <cmath>
#include <complex>

#include "mql4grec/backend/contract/rms_norm.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// y (rows,d) = RMSNorm of in.x with in.gain. inv_rms (rows) is kept for the backward pass.
template <Field T>
void rms_norm_forward(backend&, rms_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y,
                      out_vector<backend, T> inv_rms) {
  auto const [x, gain] = in;
  auto const [rows, d] = x.extents;
  for (index_t i = 0; i < rows; ++i) {
    T mean_square{};  // never std::norm or conj: the complex-step test needs an analytic kernel
    for (index_t j = 0; j < d; ++j) mean_square += x(i, j) * x(i, j) / constant<T>(static_cast<double>(d));
    inv_rms(i) = constant<T>(1) / std::sqrt(mean_square + constant<T>(eps));
    for (index_t j = 0; j < d; ++j) y(i, j) = x(i, j) * inv_rms(i) * gain(j);
  }
}

/// dx = r·g∘dy − x·r³/d · Σ_j dy_j g_j x_j, with r = inv_rms
template <Field T>
void rms_norm_backward(backend&, rms_norm_inputs<host_space, T> const& in, in_vector<backend, T> inv_rms,
                       in_matrix<backend, T> dy, rms_norm_gradients<host_space, T> const& out) {
  auto const [x, gain] = in;
  auto const [dx, dgain] = out;
  auto const [rows, d] = x.extents;
  for (index_t i = 0; i < rows; ++i) {
    T const r = inv_rms(i);
    T inner_product{};
    for (index_t j = 0; j < d; ++j) inner_product += dy(i, j) * gain(j) * x(i, j);
    T const x_factor = inner_product * r * r * r / constant<T>(static_cast<double>(d));
    for (index_t j = 0; j < d; ++j) {
      dgain(j) += dy(i, j) * x(i, j) * r;
      dx(i, j) = dy(i, j) * gain(j) * r - x(i, j) * x_factor;
    }
  }
}

}  // namespace mql4grec::reference
