#pragma once
// Squared error and scaled addition. dx is overwritten.
#include "mql4grec/backend/contract/squared_error.hpp"
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// Returns Σ (x − target)² of x, target (rows,d).
template <Field T>
T squared_error_forward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target) {
  T sum{};
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) sum += (x(i, j) - target(i, j)) * (x(i, j) - target(i, j));
  return sum;
}

/// out.error = the same sum, out.dx = scale · (x − target); dx may be x.
template <Field T>
void squared_error_backward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target, double scale,
                            squared_error_results<host_space, T> const& out) {
  T sum{};
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) {
      T const difference = x(i, j) - target(i, j);
      sum += difference * difference;
      out.dx(i, j) = constant<T>(scale) * difference;
    }
  out.error(0) = sum;
}

/// y (rows,d) += factor · x (rows,d)
template <Field T>
void add_scaled(backend&, double factor, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) y(i, j) += constant<T>(factor) * x(i, j);
}

}  // namespace mql4grec::reference
