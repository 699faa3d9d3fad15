#pragma once
// What the backends' balanced assignments agree on.
namespace mql4grec {

/// Which of its two scalings a round of Sinkhorn's iteration ends with. Fifty rounds at ε = 0.003 haven't converged, so
/// it matters.
enum class sinkhorn_order {
  codes_last,   ///< the released code's (taken over from LC-Rec): rows to 1/n, then codes to 1/K
  samples_last  ///< SwAV's (Caron et al. 2020): codes to 1/K, then rows to 1/n
};

namespace detail {

/// A row or a code whose mass is below this has none: it can't be scaled any more. With ε ≥ 0.003 it doesn't happen to
/// the first plan, whose entries are e^−667 of each other at most, in double precision.
inline constexpr double sinkhorn_least_mass = 1e-300;
/// e to anything below this is none.
inline constexpr double sinkhorn_least_exponent = -690;
/// Masses above this share of a row's largest are as large: a row that has several codes to itself has the same mass in
/// each of them, but for rounding, which would choose at random.
inline constexpr double sinkhorn_equal = 1 - 1e-9;

}  // namespace detail

}  // namespace mql4grec
