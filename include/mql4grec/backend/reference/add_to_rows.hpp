#pragma once
// Adds one vector to every row of a matrix.
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// y (rows,d) = x (rows,d) + factor · v (d) in every row; y may be x.
template <Field T>
void add_to_rows(backend&, double factor, in_vector<backend, T> v, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  for (index_t i = 0; i < y.rows(); ++i)
    for (index_t j = 0; j < y.columns(); ++j) y(i, j) = x(i, j) + constant<T>(factor) * v(j);
}

}  // namespace mql4grec::reference
