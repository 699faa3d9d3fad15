#pragma once
// RMSNorm, forward and backward. dx is overwritten, dgain is accumulated; see backend/reference/rms_norm.hpp for the
// formulas.
#include <cmath>

#include "mql4grec/backend/contract/rms_norm.hpp"
#include "mql4grec/backend/gpu/primitives/column_sums.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// One thread group per row.
template <Real T, class In, class Out>
struct rms_norm_rows {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In x;
  T const* gain;
  T eps;
  Out y;
  T* inv_rms;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    typename ThreadGroup::template local<T> squares;
    group.each([&](int t) {
      squares[t] = T{};
      for (index_t j = t; j < x.columns(); j += threads) squares[t] += x(i, j) * x(i, j);
    });
    T const r = 1 / std::sqrt(group.sum(squares) / static_cast<T>(x.columns()) + eps);
    group.each([&](int t) {
      if (t == 0) inv_rms[i] = r;
      for (index_t j = t; j < x.columns(); j += threads) y(i, j) = x(i, j) * r * gain[j];
    });
  }
};

template <Real T, class In, class Out>
struct rms_norm_gradient_rows {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In x, dy;
  T const *gain, *inv_rms;
  Out dx;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    T const r = inv_rms[i];
    typename ThreadGroup::template local<T> inner_product;
    group.each([&](int t) {
      inner_product[t] = T{};
      for (index_t j = t; j < x.columns(); j += threads) inner_product[t] += dy(i, j) * gain[j] * x(i, j);
    });
    T const x_factor = group.sum(inner_product) * r * r * r / static_cast<T>(x.columns());
    group.each([&](int t) {
      for (index_t j = t; j < x.columns(); j += threads) dx(i, j) = dy(i, j) * gain[j] * r - x(i, j) * x_factor;
    });
  }
};

template <Real T, class In>
struct gain_gradient {
  In x, dy;
  T const* inv_rms;
  MQL4GREC_HD T operator()(index_t i, index_t j) const { return dy(i, j) * x(i, j) * inv_rms[i]; }
};

}  // namespace detail

/// y (rows,d) = RMSNorm of in.x with in.gain. inv_rms (rows) is kept for the backward pass.
template <Real T, class System>
void rms_norm_forward(backend<System>& b, rms_norm_inputs<device_space<System>, T> const& in, double eps,
                      out_matrix<backend<System>, T> y, out_vector<backend<System>, T> inv_rms) {
  detail::for_each_group(
      b, in.x.rows(),
      detail::rms_norm_rows<T, decltype(in.x), decltype(y)>{in.x, in.gain.data, static_cast<T>(eps), y, inv_rms.data});
}

/// Computes out.dx from dy (rows,d), and adds the gain's gradient to out.dgain.
template <Real T, class System>
void rms_norm_backward(backend<System>& b, rms_norm_inputs<device_space<System>, T> const& in,
                       in_vector<backend<System>, T> inv_rms, in_matrix<backend<System>, T> dy,
                       rms_norm_gradients<device_space<System>, T> const& out) {
  detail::add_column_sums<T>(b, in.x.rows(), in.x.columns(),
                             detail::gain_gradient<T, decltype(dy)>{in.x, dy, inv_rms.data}, out.dgain);
  detail::for_each_group(
      b, in.x.rows(),
      detail::rms_norm_gradient_rows<T, decltype(dy), decltype(out.dx)>{in.x, dy, in.gain.data, inv_rms.data, out.dx});
}

}  // namespace mql4grec::gpu
