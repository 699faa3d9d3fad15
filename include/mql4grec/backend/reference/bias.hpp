#pragma once
// Adding a bias to every row. The gradient dbias is accumulated.
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// y (rows,d) += bias (d)
template <Field T>
void bias_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y) {
  for (index_t i = 0; i < y.rows(); ++i)
    for (index_t j = 0; j < y.columns(); ++j) y(i, j) += bias(j);
}

/// y (rows,d) = max(0, y + bias (d)), in place
template <Field T>
void bias_relu_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y) {
  for (index_t i = 0; i < y.rows(); ++i)
    for (index_t j = 0; j < y.columns(); ++j) {
      T const x = y(i, j) + bias(j);
      y(i, j) = real_part(x) > 0 ? x : T{};
    }
}

/// dbias (d) += the column sums of dy (rows,d)
template <Field T>
void bias_backward(backend&, in_matrix<backend, T> dy, out_vector<backend, T> dbias) {
  for (index_t i = 0; i < dy.rows(); ++i)
    for (index_t j = 0; j < dy.columns(); ++j) dbias(j) += dy(i, j);
}

}  // namespace mql4grec::reference
