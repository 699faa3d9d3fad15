#pragma once
// AdamW and reductions over flat arrays. The functions that return a number wait for the device.
#include <cmath>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/gpu/primitives/sum.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T>
struct adamw_entry {
  adamw_factors<T> f;
  T const* gradient;
  T *parameter, *first, *second;

  MQL4GREC_HD void operator()(index_t i) const {
    T const g = gradient[i] * f.scale;
    T const m = f.b1 * first[i] + f.one_minus_beta1 * g, v = f.b2 * second[i] + f.one_minus_beta2 * g * g;
    first[i] = m;
    second[i] = v;
    parameter[i] = parameter[i] * f.keep - f.rate * m / (std::sqrt(v) * f.inv_sqrt_correction2 + f.eps);
  }
};

template <Real T>
struct square_of {
  T const* x;
  MQL4GREC_HD double operator()(index_t i) const { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }
};

template <Real T>
struct wide_entry {
  T const* x;
  MQL4GREC_HD double operator()(index_t i) const { return static_cast<double>(x[i]); }
};

template <Real T>
struct keep_smaller_entry {
  T const* from;
  T* to;
  MQL4GREC_HD double operator()(index_t i) const {
    if (from[i] < to[i]) to[i] = from[i];
    return static_cast<double>(to[i]);
  }
};

template <Real T>
struct add_entry {
  T const* from;
  T* to;
  MQL4GREC_HD void operator()(index_t i) const { to[i] += from[i]; }
};

}  // namespace detail

/// One AdamW update; all arrays are (n). Updates the parameters and both moments. Gradients are multiplied by
/// how.gradient_scale as they are read, and are not modified.
template <Real T, class System>
void adamw_step(backend<System>& b, adamw_update how, in_vector<backend<System>, T> gradient,
                out_vector<backend<System>, T> parameter, out_vector<backend<System>, T> first,
                out_vector<backend<System>, T> second) {
  detail::for_each_index(
      b, parameter.size(),
      detail::adamw_entry<T>{adamw_factors<T>(how), gradient.data, parameter.data, first.data, second.data});
}

/// Σ x², summed in double. Waits.
template <Real T, class System>
double sum_of_squares(backend<System>& b, in_vector<backend<System>, T> x) {
  return detail::sum_over<double>(b, x.size(), detail::square_of<T>{x.data});
}

/// Σ x, summed in double. Waits.
template <Real T, class System>
double sum(backend<System>& b, in_vector<backend<System>, T> x) {
  return detail::sum_over<double>(b, x.size(), detail::wide_entry<T>{x.data});
}

/// to (n) = min(to, from) entry by entry; returns Σ to. Waits.
template <Real T, class System>
double keep_smaller(backend<System>& b, in_vector<backend<System>, T> from, out_vector<backend<System>, T> to) {
  return detail::sum_over<double>(b, to.size(), detail::keep_smaller_entry<T>{from.data, to.data});
}

/// to (n) += from (n)
template <Real T, class System>
void accumulate(backend<System>& b, in_vector<backend<System>, T> from, out_vector<backend<System>, T> to) {
  detail::for_each_index(b, to.size(), detail::add_entry<T>{from.data, to.data});
}

}  // namespace mql4grec::gpu
