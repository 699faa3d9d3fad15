#pragma once
#include <complex>
#include <concepts>
#include <cstddef>

namespace mql4grec {

/// Signed sizes and positions everywhere: differences of positions must be able to go below zero.
using index_t = std::ptrdiff_t;

/// Scalars that can be trained: float, double.
template <class T>
concept Real = std::floating_point<T>;

namespace detail {
template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;
}  // namespace detail

/// Scalars that the reference backend computes with. std::complex is admitted so that gradients can be
/// proved by the complex step, Im f(x + ih) / h, which has no cancellation error.
template <class T>
concept Field = Real<T> || detail::is_complex<T>;

/// The value that comparisons use: a number itself, the real part of a complex one.
template <Field T>
constexpr auto real_part(T const& x) {
  if constexpr (detail::is_complex<T>)
    return x.real();
  else
    return x;
}

/// A real constant as a field element; std::complex<T>{int} and mixed products don't exist in the standard.
template <Field T>
constexpr T constant(double x) {
  if constexpr (detail::is_complex<T>)
    return T(static_cast<typename T::value_type>(x));
  else
    return static_cast<T>(x);
}

}  // namespace mql4grec
