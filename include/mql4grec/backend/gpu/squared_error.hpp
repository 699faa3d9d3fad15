#pragma once
#include "mql4grec/backend/gpu/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class In>
struct squared_difference {
  In x, target;
  MQL4GREC_HD T operator()(index_t at) const {
    index_t const i = at / x.columns(), j = at % x.columns();
    T const difference = x(i, j) - target(i, j);
    return difference * difference;
  }
};

template <Real T, class In, class Out>
struct scaled_difference_entry {
  T scale;
  In x, target;
  Out dx;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { dx(i, j) = scale * (x(i, j) - target(i, j)); }
};

template <Real T, class In, class Out>
struct add_scaled_entry {
  T factor;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) += factor * x(i, j); }
};

}  // namespace detail

// x, target (rows,d) -> Σ (x − target)²; the host waits for it.
template <Real T, class System>
T squared_error_forward(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> target) {
  return detail::sum_over<T>(b, x.size(), detail::squared_difference<T, decltype(x)>{x, target});
}

// The same, and dx (rows,d) = scale · (x − target), overwritten; dx may be x.
template <Real T, class System>
T squared_error_backward(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> target, double scale,
                         out_matrix<backend<System>, T> dx) {
  T const sum = squared_error_forward<T>(b, x, target);
  detail::for_each_entry(b, x.rows(), x.columns(),
                         detail::scaled_difference_entry<T, decltype(x), decltype(dx)>{static_cast<T>(scale), x, target, dx});
  return sum;
}

// y (rows,d) += factor · x (rows,d)
template <Real T, class System>
void add_scaled(backend<System>& b, double factor, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, x.rows(), x.columns(), detail::add_scaled_entry<T, decltype(x), decltype(y)>{static_cast<T>(factor), x, y});
}

}  // namespace mql4grec::gpu
