#pragma once
// Dropout by a mask that is computed where it is needed; see backend/contract/dropout.hpp.
#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// x (rows,d) = x ∘ mask / (1 − rate), in place. Applied to the gradient, it is its own backward pass.
template <Field T>
void dropout_apply(backend&, dropout site, out_matrix<backend, T> x) {
  if (!site.active()) return;
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) x(i, j) = keeps(site, i, j) ? x(i, j) * constant<T>(site.scale()) : T{};
}

/// y (rows,d) = x (rows,d) + dropout(y): the residual connection around a sublayer with result y.
template <Field T>
void dropout_add(backend& b, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  dropout_apply<T>(b, site, y);
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) y(i, j) += x(i, j);
}

/// y (rows,d) = dropout(x); y may be x. In the backward pass it computes the sublayer's gradient from the residual
/// stream's.
template <Field T>
void dropout_copy(backend&, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j)
      y(i, j) = !site.active() ? x(i, j) : keeps(site, i, j) ? x(i, j) * constant<T>(site.scale()) : T{};
}

}  // namespace mql4grec::reference
