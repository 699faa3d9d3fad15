#pragma once
// The complex step (Squire & Trapp 1998): f'(x) = Im f(x + ih) / h. Nothing cancels, so h may be tiny and the result is
// exact to rounding. f has to be analytic, that is, written without abs, conj, or comparisons of anything but
// real parts.
#include <algorithm>
#include <cmath>
#include <complex>

#include "support/tensors.hpp"

namespace mql4grec::test {

using complex = std::complex<double>;

/// Im f(x + ih·e_i) / h, where f takes the tensor with complex entries.
template <class F, class Tensor>
double derivative_at(F const& f, Tensor& complex_x, std::size_t i) {
  constexpr double h = 1e-30;
  complex const kept = complex_x.values[i];
  complex_x.values[i] += complex(0, h);
  double const derivative = std::imag(f(complex_x)) / h;
  complex_x.values[i] = kept;
  return derivative;
}

/// The largest difference between f's derivatives at x and the gradient that a backward pass claims, over max(1,
/// largest derivative).
template <class F, class Tensor>
double gradient_error(F const& f, Tensor const& x, std::span<double const> claimed) {
  auto moved = as<complex>(x);
  double worst = claimed.size() == x.values.size() ? 0 : INFINITY, largest = 1;
  for (std::size_t i = 0; i < x.values.size() && worst < INFINITY; ++i) {
    double const derivative = derivative_at(f, moved, i), difference = std::abs(derivative - claimed[i]);
    worst = difference <= worst ? worst : std::isnan(difference) ? INFINITY : difference;
    largest = std::max(largest, std::abs(derivative));
  }
  return worst / largest;
}
template <class F, class Tensor, class T, class B, int Rank>
double gradient_error(F const& f, Tensor const& x, tensor_on<T, B, Rank> const& claimed) {
  return gradient_error(f, x, std::span<double const>((*claimed).data, static_cast<std::size_t>(claimed.size())));
}

/// Σ a ∘ b: makes one number of a tensor, whose gradient is then the other factor.
template <class T>
T inner_product(view<T const, host_space, 1> a, view<T const, host_space, 1> b) {
  T sum{};
  for (index_t i = 0; i < a.size(); ++i) sum += a(i) * b(i);
  return sum;
}
template <class T>
T inner_product(view<T const, host_space, 2> a, view<T const, host_space, 2> b) {
  T sum{};
  for (index_t i = 0; i < a.rows(); ++i) sum += inner_product<T>(a.row(i), b.row(i));
  return sum;
}

}  // namespace mql4grec::test
