#pragma once
// Squared error and scaled addition. dx is overwritten.
#include "mql4grec/backend/contract/squared_error.hpp"
#include "mql4grec/backend/gpu/primitives/sum.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Row and column of the i-th entry. Contiguous matrices are passed as a single row, which avoids the division.
struct entry_place {
  index_t row, column;
  MQL4GREC_HD entry_place(index_t i, index_t columns) : row(i < columns ? 0 : i / columns), column(i - row * columns) {}
};
template <class... Views>
void join_rows(Views&... views) {
  if ((views.contiguous() && ...)) ((views = {views.data, 1, views.size()}), ...);
}

/// (x − target)²
template <Real T, class In>
struct squared_difference {
  In x, target;
  MQL4GREC_HD T operator()(index_t i) const {
    entry_place const at(i, x.columns());
    T const difference = x(at.row, at.column) - target(at.row, at.column);
    return difference * difference;
  }
};

/// The same; also writes dx = scale · (x − target).
template <Real T, class In, class Out>
struct squared_difference_and_gradient {
  T scale;
  In x, target;
  Out dx;
  MQL4GREC_HD T operator()(index_t i) const {
    entry_place const at(i, x.columns());
    T const difference = x(at.row, at.column) - target(at.row, at.column);
    dx(at.row, at.column) = scale * difference;
    return difference * difference;
  }
};

template <Real T, class In, class Out>
struct add_scaled_entry {
  T factor;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i) const {
    entry_place const at(i, x.columns());
    y(at.row, at.column) += factor * x(at.row, at.column);
  }
};

}  // namespace detail

/// Returns Σ (x − target)² of x, target (rows,d). Waits.
template <Real T, class System>
T squared_error_forward(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> target) {
  detail::join_rows(x, target);
  return detail::sum_over<T>(b, x.size(), detail::squared_difference<T, decltype(x)>{x, target});
}

/// out.error = the same sum, out.dx = scale · (x − target); dx may be x. Doesn't wait.
template <Real T, class System>
void squared_error_backward(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> target,
                            double scale, squared_error_results<device_space<System>, T> const& out) {
  auto dx = out.dx;
  detail::join_rows(x, target, dx);
  detail::sum_into<T>(
      b, x.size(),
      detail::squared_difference_and_gradient<T, decltype(x), decltype(dx)>{static_cast<T>(scale), x, target, dx},
      out.error.data);
}

/// y (rows,d) += factor · x (rows,d)
template <Real T, class System>
void add_scaled(backend<System>& b, double factor, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::join_rows(x, y);
  detail::for_each_index(b, x.size(),
                         detail::add_scaled_entry<T, decltype(x), decltype(y)>{static_cast<T>(factor), x, y});
}

}  // namespace mql4grec::gpu
