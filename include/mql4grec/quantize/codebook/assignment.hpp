#pragma once
// How rows choose their code of a level. While a translator learns, a batch may be spread evenly over the codes; items
// are always given the nearest.
#include <cmath>
#include <variant>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// What choosing the nearest code asks of a backend.
template <class B, class T>
concept NearestCodeOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, out_vector<B, code_t> codes, out_vector<B, T> distances) {
  nearest_code<T>(b, x, x, codes, distances);
};

/// What balanced assignment asks of a backend.
template <class B, class T>
concept SinkhornOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, out_vector<B, code_t> codes) {
  squared_distances<T>(b, x, x, y);
  sinkhorn_assign<T>(b, x, double{}, int{}, codes);
};

/// Chooses a code for each of x's rows among the vectors (K, width). A policy is a value: hyper-parameters only; what
/// it needs while it runs it takes from the backend. It sees rows and not a table of distances, which the nearest code
/// never needs. `row_by_row`: a row's code depends on nothing but the row, so that workers may share the rows out.
template <class P, class B, class T>
concept AssignmentPolicy = Backend<B> && std::regular<P> &&
    requires(P const& policy, B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) {
  { policy.template assign<T>(b, x, vectors, codes) } -> std::same_as<void>;
  { P::row_by_row } -> std::convertible_to<bool>;
};

/// argmin ‖x − v‖², the first of equals.
struct nearest_assignment {
  static constexpr bool row_by_row = true;

  template <class T, class B>
  void assign(B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) const {
    static_assert(NearestCodeOps<B, T>,
                  "this backend has no nearest_code for this scalar; add it in backend/<name>/nearest_code.hpp");
    scratch_scope<B> const scope(b.scratch());
    nearest_code<T>(b, x, vectors, codes, b.scratch().template take<T>(x.rows()));
  }
  bool operator==(nearest_assignment const&) const = default;
};

/// Spreads a batch evenly over the codes before it chooses (Sinkhorn–Knopp on distances centred to [−1, 1], as the
/// released code): at the last level, fewer items get the same name.
struct sinkhorn_assignment {
  static constexpr bool row_by_row = false;

  double epsilon = 0.003;  ///< the smaller, the nearer to the nearest code
  int iterations = 50;

  template <class T, class B>
  void assign(B& b, in_matrix<B, T> x, in_matrix<B, T> vectors, out_vector<B, code_t> codes) const {
    static_assert(SinkhornOps<B, T>,
                  "this backend has no sinkhorn_assign for this scalar; add it in backend/<name>/sinkhorn.hpp");
    scratch_scope<B> const scope(b.scratch());
    auto const distances = b.scratch().template take<T>(x.rows(), vectors.rows());
    squared_distances<T>(b, x, vectors, distances);
    sinkhorn_assign<T>(b, distances, epsilon, iterations, codes);
  }
  bool operator==(sinkhorn_assignment const&) const = default;
};

/// The policies by value, so that each level of a translator may have its own.
using any_assignment = std::variant<nearest_assignment, sinkhorn_assignment>;

/// The released code's way to say it: ε of the level, 0 for the nearest code.
inline any_assignment assignment_with(double epsilon, int iterations = 50) {
  expects(epsilon >= 0 && std::isfinite(epsilon), "assignment: epsilon is ", epsilon, ", expected at least 0");
  if (epsilon == 0) return nearest_assignment{};
  return sinkhorn_assignment{epsilon, iterations};
}

inline bool is_row_by_row(any_assignment const& policy) {
  return std::visit([]<class P>(P const&) { return P::row_by_row; }, policy);
}

}  // namespace mql4grec
