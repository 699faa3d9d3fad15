#pragma once
// Adds one vector to every row of a matrix.
#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class In, class Out>
struct add_to_rows_entry {
  T factor;
  T const* v;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) = x(i, j) + factor * v[j]; }
};

}  // namespace detail

/// y (rows,d) = x (rows,d) + factor · v (d) in every row; y may be x.
template <Real T, class System>
void add_to_rows(backend<System>& b, double factor, in_vector<backend<System>, T> v, in_matrix<backend<System>, T> x,
                 out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, y.rows(), y.columns(),
                         detail::add_to_rows_entry<T, decltype(x), decltype(y)>{static_cast<T>(factor), v.data, x, y});
}

}  // namespace mql4grec::gpu
