#pragma once
// The feed-forward activations, each followed by dropout as in T5. The forward functions work in place or on merged
// branches; see each. Those of the encoders that are not trained have a forward pass only, and no dropout.
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

/// dh (rows,f) = dh ∘ [h > 0] / (1 − rate), in place. h is the forward pass' result: it is positive exactly where both
/// ReLU and dropout let the entry pass.
template <Field T>
void relu_backward(backend&, dropout site, in_matrix<backend, T> h, out_matrix<backend, T> dh) {
  T const scale = constant<T>(site.active() ? site.scale() : 1);
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < h.columns(); ++j) dh(i, j) = real_part(h(i, j)) > 0 ? dh(i, j) * scale : T{};
}

namespace detail {
inline constexpr double gelu_slope = 0.044715;
inline constexpr double gelu_root = 0.7978845608028654;  // √(2/π)

/// The tanh approximation of GELU ("gelu_new" in transformers), which T5 v1.1 uses, and its derivative, given t =
/// tanh(gelu_argument(x)). All backends share them; each computes tanh itself.
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

/// h (rows,f) = dropout(gelu(gate) ∘ linear), where gates (rows,2f) contains a row's gate values, then its linear ones.
template <Field T>
void gated_gelu_forward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> h) {
  index_t const f = h.columns();
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < f; ++j)
      h(i, j) = detail::gelu_of<T>(gates(i, j), std::tanh(detail::gelu_argument<T>(gates(i, j)))) * gates(i, f + j);
  dropout_apply<T>(b, site, h);
}

/// dgates (rows,2f) = the gradient of gates, overwritten. dh (rows,f) is overwritten by dropout(dh), with the mask of
/// the forward pass.
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

/// h (rows,f) = h · Φ(h), in place: GELU with the normal distribution's Φ by the error function ("gelu" in
/// transformers).
template <Real T>
void gelu_forward(backend&, out_matrix<backend, T> h) {
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < h.columns(); ++j)
      h(i, j) *= T(0.5) * (1 + std::erf(h(i, j) * static_cast<T>(1 / std::numbers::sqrt2)));
}

namespace detail {
inline constexpr double quick_gelu_slope = 1.702;

/// x · sigmoid(slope · x), the common form of quick GELU and, with slope 1, of SiLU.
template <Field T>
T sigmoid_gated(T x, double slope) {
  return x / (constant<T>(1) + std::exp(constant<T>(-slope) * x));
}
}  // namespace detail

/// h (rows,f) = h · sigmoid(1.702 h), in place ("quick_gelu" in transformers, which CLIP uses).
template <Field T>
void quick_gelu_forward(backend&, out_matrix<backend, T> h) {
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < h.columns(); ++j) h(i, j) = detail::sigmoid_gated<T>(h(i, j), detail::quick_gelu_slope);
}

/// h (rows,f) = silu(gate) ∘ linear, where gates (rows,2f) contains a row's gate values, then its linear ones, and
/// silu(x) = x · sigmoid(x).
template <Field T>
void swiglu_forward(backend&, in_matrix<backend, T> gates, out_matrix<backend, T> h) {
  index_t const f = h.columns();
  for (index_t i = 0; i < h.rows(); ++i)
    for (index_t j = 0; j < f; ++j) h(i, j) = detail::sigmoid_gated<T>(gates(i, j), 1) * gates(i, f + j);
}

}  // namespace mql4grec::reference
