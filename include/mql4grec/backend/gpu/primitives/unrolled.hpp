#pragma once
#include <type_traits>
#include <utility>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::gpu::detail {

/// visit(0) … visit(N − 1), so spelled out that arrays of a member stay in its registers.
template <int N, class Visit>
MQL4GREC_HD void unrolled(Visit&& visit) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (visit(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace mql4grec::gpu::detail
