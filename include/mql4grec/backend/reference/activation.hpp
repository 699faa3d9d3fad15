#pragma once
// The feed-forward activations, each with the dropout that follows it in T5.
#include <cmath>
#include <complex>
#include <numbers>

#include "mql4grec/backend/reference/dropout.hpp"

namespace mql4grec::reference {

/// h (rows,f) = dropout(max(h, 0)), in place.
template <Field T>
void relu_forward(backend& b, dropout site, out_matrix<backend, T> h) {
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < h.columns(); ++j)
      if (!(real_part(h(i, j)) > 0)) h(i, j) = T{};
  dropout_apply<T>(b, site, h);
}

/// dh = dh ∘ [h > 0] / (1 − rate): an entry of the output is positive exactly where ReLU and dropout both let it pass.
template <Field T>
void relu_backward(backend&, dropout site, in_matrix<backend, T> h, out_matrix<backend, T> dh) {
  T const scale = constant<T>(site.active() ? site.scale() : 1);
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < h.columns(); ++j) dh(i, j) = real_part(h(i, j)) > 0 ? dh(i, j) * scale : T{};
}

namespace detail {
inline constexpr double gelu_slope = 0.044715;
inline constexpr double gelu_root = 0.7978845608028654;  // √(2/π)

/// The tanh form of GELU ("gelu_new" in transformers), which T5 v1.1 uses, and its derivative, from t =
/// tanh(gelu_argument(x)): what every backend shares but the tanh.
template <Field T>
MQL4GREC_HD constexpr T gelu_argument(T x) {
  return constant<T>(gelu_root) * (x + constant<T>(gelu_slope) * x * x * x);
}
template <Field T>
MQL4GREC_HD constexpr T gelu_of(T x, T t) {
  return constant<T>(0.5) * x * (constant<T>(1) + t);
}
template <Field T>
MQL4GREC_HD constexpr T gelu_derivative_of(T x, T t) {
  T const inner = constant<T>(gelu_root) * (constant<T>(1) + constant<T>(3 * gelu_slope) * x * x);
  return constant<T>(0.5) * (constant<T>(1) + t) + constant<T>(0.5) * x * (constant<T>(1) - t * t) * inner;
}
}  // namespace detail

/// gates (rows,2f) holds the gate's and the linear branch's values side by side -> h (rows,f) = dropout(gelu(gate) ∘
/// linear)
template <Field T>
void gated_gelu_forward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> h) {
  index_t const f = h.columns();
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < f; ++j)
      h(i, j) = detail::gelu_of<T>(gates(i, j), std::tanh(detail::gelu_argument<T>(gates(i, j)))) * gates(i, f + j);
  dropout_apply<T>(b, site, h);
}

/// dh (rows,f) is dropped again and used up; dgates (rows,2f) is overwritten.
template <Field T>
void gated_gelu_backward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> dh,
                         out_matrix<backend, T> dgates) {
  index_t const f = dh.columns();
  dropout_apply<T>(b, site, dh);
  for (index_t i = 0; i < dh.rows(); ++i)
    for (index_t j = 0; j < f; ++j) {
      T const gate = gates(i, j), t = std::tanh(detail::gelu_argument<T>(gate));
      dgates(i, j) = dh(i, j) * gates(i, f + j) * detail::gelu_derivative_of<T>(gate, t);
      dgates(i, f + j) = dh(i, j) * detail::gelu_of<T>(gate, t);
    }
}

}  // namespace mql4grec::reference
