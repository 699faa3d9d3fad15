#pragma once
// Conventions of the balanced assignment (Sinkhorn's algorithm) that all backends share.
namespace mql4grec {
inline namespace contract {

/// Which of the two scalings comes last in a round of Sinkhorn's iteration. The order matters, because 50 rounds at ε =
/// 0.003 don't converge.
enum class sinkhorn_order {
  codes_last,   ///< rows to 1/n, then codes to 1/K: the paper's released code (from LC-Rec)
  samples_last  ///< codes to 1/K, then rows to 1/n: SwAV (Caron et al. 2020)
};

/// The options of the balanced assignment.
struct sinkhorn_options {
  double epsilon = 0.003;                             ///< entropic regularization, > 0
  int iterations = 50;                                ///< rounds; each scales the rows and the codes once
  sinkhorn_order order = sinkhorn_order::codes_last;  ///< which scaling ends a round
};

namespace detail {

/// A row or a code with less mass than this is treated as empty and not scaled. With ε ≥ 0.003 this does not happen to
/// the initial plan: in double precision its entries differ by factors of e^−667 at most.
inline constexpr double sinkhorn_min_mass = 1e-300;
/// Exponents below this give 0.
inline constexpr double sinkhorn_min_exponent = -690;
/// Masses above this fraction of a row's largest count as equal to it. A row that has several codes to itself has the
/// same mass in each of them up to rounding, and rounding must not choose among them.
inline constexpr double sinkhorn_equal = 1 - 1e-9;

}  // namespace detail

}  // namespace contract
}  // namespace mql4grec
