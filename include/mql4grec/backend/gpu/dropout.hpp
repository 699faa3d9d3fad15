#pragma once
#include "mql4grec/backend/dropout.hpp"
#include "mql4grec/backend/gpu/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// x as the site lets it pass.
template <Real T>
MQL4GREC_HD T dropped(dropout const& site, index_t row, index_t column, T x) {
  if (!site.active()) return x;
  return keeps(site, row, column) ? x * static_cast<T>(site.scale()) : T{};
}

template <class M>
struct drop_entry {
  dropout site;
  M x;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { x(i, j) = dropped(site, i, j, x(i, j)); }
};

template <class In, class Out>
struct drop_and_add_entry {
  dropout site;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) = dropped(site, i, j, y(i, j)) + x(i, j); }
};

template <class In, class Out>
struct copy_dropped_entry {
  dropout site;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) = dropped(site, i, j, x(i, j)); }
};

}  // namespace detail

// x (rows,d) becomes x ∘ mask / (1 − rate), in place.
template <Real T, class System>
void dropout_apply(backend<System>& b, dropout site, out_matrix<backend<System>, T> x) {
  if (site.active()) detail::for_each_entry(b, x.rows(), x.columns(), detail::drop_entry<decltype(x)>{site, x});
}

// y (rows,d) becomes x + dropout(y).
template <Real T, class System>
void dropout_add(backend<System>& b, dropout site, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, x.rows(), x.columns(), detail::drop_and_add_entry<decltype(x), decltype(y)>{site, x, y});
}

// y = dropout(x), out of place.
template <Real T, class System>
void dropout_copy(backend<System>& b, dropout site, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, x.rows(), x.columns(), detail::copy_dropped_entry<decltype(x), decltype(y)>{site, x, y});
}

}  // namespace mql4grec::gpu
