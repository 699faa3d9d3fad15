#pragma once
// Loops that are unrolled at compile time.
#include <type_traits>
#include <utility>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::gpu::detail {

/// Calls visit(0) … visit(N − 1) without a loop, each with a compile-time constant, so that arrays of a thread stay in
/// its registers.
template <int N, class Visit>
MQL4GREC_HD void unrolled(Visit&& visit) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (visit(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace mql4grec::gpu::detail
