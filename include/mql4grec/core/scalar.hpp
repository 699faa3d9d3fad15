#pragma once
// The types of numbers: index_t for sizes and positions; `Real` for everything that is trained, `Field` for the
// reference backend only.
#include <cassert>
#include <complex>
#include <concepts>
#include <cstddef>

#include "mql4grec/core/macros.hpp"

namespace mql4grec {
inline namespace core {

/// The type of all sizes and positions. Signed, so that differences can be negative.
using index_t = std::ptrdiff_t;

/// A size or position as the unsigned type of the standard library's containers. It must not be negative (assert).
template <std::signed_integral T>
MQL4GREC_HD constexpr std::size_t to_size(T n) {
  assert(n >= 0);
  return static_cast<std::size_t>(n);
}

/// Scalars that models are trained with: float and double.
template <class T>
concept Real = std::floating_point<T>;

namespace detail {
template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;
}  // namespace detail

/// Scalars that the reference backend computes with. std::complex is included so that tests can verify gradients by the
/// complex step, Im f(x + ih) / h, which has no cancellation error.
template <class T>
concept Field = Real<T> || detail::is_complex<T>;

/// The value that comparisons use: the number itself, or the real part of a complex one.
template <Field T>
constexpr auto real_part(T const& x) {
  if constexpr (detail::is_complex<T>)
    return x.real();
  else
    return x;
}

/// A real constant as a T. std::complex<T>{int} and products of mixed types don't exist in the standard.
template <Field T>
constexpr T constant(double x) {
  if constexpr (detail::is_complex<T>)
    return T(static_cast<typename T::value_type>(x));
  else
    return static_cast<T>(x);
}

}  // namespace core
}  // namespace mql4grec
