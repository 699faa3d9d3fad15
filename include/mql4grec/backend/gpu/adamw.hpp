#pragma once
// AdamW and reductions over flat arrays. The functions that return a number wait for the device.
#include <cmath>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/gpu/primitives/sum.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// The arrays of an update without their sizes: a kernel's arguments.
template <Real T>
struct adamw_pointers {
  T const* gradient;
  T *parameters, *first, *second;
};
template <class S, Real T>
adamw_pointers<T> pointers_of(adamw_tensors<S, T> const& on) {
  return {on.gradient.data, on.parameters.data, on.first.data, on.second.data};
}

template <Real T>
struct adamw_entry {
  adamw_factors<T> f;
  adamw_pointers<T> on;

  MQL4GREC_HD void operator()(index_t i) const {
    T const g = on.gradient[i] * f.scale;
    T const m = f.b1 * on.first[i] + f.one_minus_beta1 * g, v = f.b2 * on.second[i] + f.one_minus_beta2 * g * g;
    on.first[i] = m;
    on.second[i] = v;
    on.parameters[i] = on.parameters[i] * f.keep - f.rate * m / (std::sqrt(v) * f.inv_sqrt_correction2 + f.eps);
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
struct minimum_in_place_entry {
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

/// One AdamW update of the parameters and both moments. Gradients are multiplied by how.gradient_scale as they are
/// read.
template <Real T, class System>
void adamw_step(backend<System>& b, adamw_update const& how, adamw_tensors<device_space<System>, T> const& on) {
  detail::for_each_index(b, on.parameters.size(),
                         detail::adamw_entry<T>{adamw_factors<T>(how), detail::pointers_of(on)});
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

/// to (n) = min(to, from) entry by entry; total (1) = Σ to, in double
template <Real T, class System>
void minimum_in_place(backend<System>& b, in_vector<backend<System>, T> from, out_vector<backend<System>, T> to,
                      out_vector<backend<System>, double> total) {
  detail::sum_into<double>(b, to.size(), detail::minimum_in_place_entry<T>{from.data, to.data}, total.data);
}

/// to (n) += from (n)
template <Real T, class System>
void accumulate(backend<System>& b, in_vector<backend<System>, T> from, out_vector<backend<System>, T> to) {
  detail::for_each_index(b, to.size(), detail::add_entry<T>{from.data, to.data});
}

}  // namespace mql4grec::gpu
