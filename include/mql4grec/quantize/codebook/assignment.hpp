#pragma once
// The assignment of rows to the codes of one level. During training, a batch may be distributed evenly over the codes.
// At inference, items always get the nearest code.
#include <cmath>
#include <variant>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/sinkhorn.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::quantize {

/// The operations that nearest assignment requires from a backend.
template <class B, class T>
concept NearestCodeOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, out_vector<B, code_t> codes, out_vector<B, T> distances) {
  nearest_code<T>(b, x, x, codes, distances);
};

/// The operations that balanced assignment requires from a backend.
template <class B, class T>
concept SinkhornOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, out_vector<B, code_t> codes) {
  squared_distances<T>(b, x, x, y);
  sinkhorn_assign<T>(b, x, sinkhorn_options{}, codes);
};

/// Chooses one of the vectors (K, width) for each row of x. A policy is a value that holds hyper-parameters only;
/// temporary memory comes from the backend's scratch. The argument is x, not a table of distances, because the nearest
/// code can be found without one. `row_by_row` states that the code of a row depends on that row alone, so that workers
/// can share the rows.
template <class P, class B, class T>
concept AssignmentPolicy = Backend<B> && std::regular<P> &&
    requires(P const& policy, B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) {
  { policy.template assign<T>(b, x, vectors, codes) } -> std::same_as<void>;
  { P::row_by_row } -> std::convertible_to<bool>;
};

/// Chooses argmin ‖x − v‖². Of equally near vectors, the first one is chosen.
struct nearest_assignment {
  /// Each row is assigned independently of the others.
  static constexpr bool row_by_row = true;

  /// Writes codes (rows): the nearest of vectors (K, width) for each row of x (rows, width).
  template <class T, class B>
  void assign(B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) const {
    static_assert(NearestCodeOps<B, T>,
                  "this backend has no nearest_code for this scalar; add it in backend/<name>/nearest_code.hpp");
    scratch_scope<B> const scope(b.scratch());
    nearest_code<T>(b, x, vectors, codes, take<T>(b, x.rows()));
  }
  bool operator==(nearest_assignment const&) const = default;
};

/// Distributes a batch evenly over the codes before choosing: Sinkhorn–Knopp iterations on distances centred to [−1,
/// 1], as in the released code. At the last level, this reduces the number of items that get the same sequence.
struct sinkhorn_assignment {
  /// The assignment of a row depends on the whole batch.
  static constexpr bool row_by_row = false;

  double epsilon = 0.003;  ///< entropic regularisation, > 0; smaller values are closer to nearest assignment
  int iterations = 50;     ///< of Sinkhorn–Knopp

  /// Writes codes (rows): a code of vectors (K, width) for each row of x (rows, width).
  template <class T, class B>
  void assign(B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) const {
    static_assert(SinkhornOps<B, T>,
                  "this backend has no sinkhorn_assign for this scalar; add it in backend/<name>/sinkhorn.hpp");
    scratch_scope<B> const scope(b.scratch());
    auto const distances = take<T>(b, x.rows(), vectors.rows());
    squared_distances<T>(b, x, vectors, distances);
    sinkhorn_assign<T>(b, distances, {.epsilon = epsilon, .iterations = iterations}, codes);
  }
  bool operator==(sinkhorn_assignment const&) const = default;
};

/// Any of the policies, by value. Each level of a quantizer may have its own.
using any_assignment = std::variant<nearest_assignment, sinkhorn_assignment>;

/// The policy in the released code's notation: ε of the level, where 0 is nearest assignment. Throws error when epsilon
/// is negative or not finite.
[[nodiscard]] inline any_assignment assignment_with(double epsilon, int iterations = 50) {
  expects(epsilon >= 0 && std::isfinite(epsilon), "assignment: epsilon is ", epsilon, ", expected at least 0");
  if (epsilon == 0) return nearest_assignment{};
  return sinkhorn_assignment{epsilon, iterations};
}

/// AssignmentPolicy's row_by_row of the policy.
[[nodiscard]] inline bool is_row_by_row(any_assignment const& policy) {
  return std::visit([]<class P>(P const&) { return P::row_by_row; }, policy);
}

}  // namespace mql4grec::quantize
