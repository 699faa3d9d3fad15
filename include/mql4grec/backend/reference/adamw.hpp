#pragma once
#include <cmath>

#include "mql4grec/backend/adamw.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

// All (n): parameters and both moments are updated; gradients are scaled by how.gradient_scale as they are read.
template <Real T>
void adamw_step(backend&, adamw_update how, in_vector<backend, T> gradient, out_vector<backend, T> parameter,
                out_vector<backend, T> first, out_vector<backend, T> second) {
  adamw_factors<T> const f(how);
  for (index_t i = 0; i < parameter.size(); ++i) {
    T const g = gradient(i) * f.scale;
    first(i) = f.b1 * first(i) + f.fresh1 * g;
    second(i) = f.b2 * second(i) + f.fresh2 * g * g;
    parameter(i) = parameter(i) * f.keep - f.rate * first(i) / (std::sqrt(second(i)) * f.root + f.eps);
  }
}

// Σ x², in double: a float sum over millions of entries loses the digits that clipping compares.
template <Real T>
double sum_of_squares(backend&, in_vector<backend, T> x) {
  double sum = 0;
  for (index_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x(i)) * static_cast<double>(x(i));
  return sum;
}

// Σ x, in double where T is real
template <Field T>
auto sum(backend&, in_vector<backend, T> x) {
  using wide = std::conditional_t<Real<T>, double, T>;
  wide total{};
  for (index_t i = 0; i < x.size(); ++i) total += static_cast<wide>(x(i));
  return total;
}

// to (n) = min(to, from) -> Σ to
template <Real T>
double keep_smaller(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  double sum = 0;
  for (index_t i = 0; i < to.size(); ++i) {
    if (from(i) < to(i)) to(i) = from(i);
    sum += static_cast<double>(to(i));
  }
  return sum;
}

// to (n) += from (n)
template <Field T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  for (index_t i = 0; i < to.size(); ++i) to(i) += from(i);
}

}  // namespace mql4grec::reference
