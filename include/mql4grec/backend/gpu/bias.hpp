#pragma once
// Adding a bias to every row. The gradient dbias is accumulated.
#include "mql4grec/backend/gpu/primitives/column_sums.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class M>
struct bias_entry {
  T const* bias;
  M y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) += bias[j]; }
};

template <Real T, class M>
struct bias_relu_entry {
  T const* bias;
  M y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const {
    T const x = y(i, j) + bias[j];
    y(i, j) = x > 0 ? x : T{};
  }
};

template <class M>
struct entry_at {
  M m;
  MQL4GREC_HD auto operator()(index_t i, index_t j) const { return m(i, j); }
};

}  // namespace detail

/// y (rows,d) += bias (d)
template <Real T, class System>
void bias_forward(backend<System>& b, in_vector<backend<System>, T> bias, out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, y.rows(), y.columns(), detail::bias_entry<T, decltype(y)>{bias.data, y});
}

/// y (rows,d) = max(0, y + bias (d)), in place
template <Real T, class System>
void bias_relu_forward(backend<System>& b, in_vector<backend<System>, T> bias, out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, y.rows(), y.columns(), detail::bias_relu_entry<T, decltype(y)>{bias.data, y});
}

/// dbias (d) += the column sums of dy (rows,d)
template <Real T, class System>
void bias_backward(backend<System>& b, in_matrix<backend<System>, T> dy, out_vector<backend<System>, T> dbias) {
  detail::add_column_sums<T>(b, dy.rows(), dy.columns(), detail::entry_at<decltype(dy)>{dy}, dbias);
}

}  // namespace mql4grec::gpu
