#pragma once
#include <cmath>

#include "mql4grec/backend/adamw.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

// All (n): parameters and both moments are updated; gradients are scaled by how.gradient_scale as they are read.
template <Real T>
void adamw_step(backend&, adamw_update how, in_vector<backend, T> gradient, out_vector<backend, T> parameter,
                out_vector<backend, T> first, out_vector<backend, T> second) {
  double const correction1 = 1 - std::pow(how.beta1, static_cast<double>(how.step));
  double const correction2 = 1 - std::pow(how.beta2, static_cast<double>(how.step));
  T const rate = static_cast<T>(how.learning_rate / correction1), keep = static_cast<T>(1 - how.learning_rate * how.weight_decay);
  T const b1 = static_cast<T>(how.beta1), b2 = static_cast<T>(how.beta2), scale = static_cast<T>(how.gradient_scale);
  T const fresh1 = static_cast<T>(1 - how.beta1), fresh2 = static_cast<T>(1 - how.beta2);  // 1 − 0.999f is not 0.001f
  T const root = static_cast<T>(1 / std::sqrt(correction2)), eps = static_cast<T>(how.epsilon);
  for (index_t i = 0; i < parameter.size(); ++i) {
    T const g = gradient(i) * scale;
    first(i) = b1 * first(i) + fresh1 * g;
    second(i) = b2 * second(i) + fresh2 * g * g;
    parameter(i) = parameter(i) * keep - rate * first(i) / (std::sqrt(second(i)) * root + eps);
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
