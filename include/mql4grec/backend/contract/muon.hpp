#pragma once
// The options and operands of a Muon update, and the factors that every backend derives from them. Muon moves a matrix
// along its momentum, made orthogonal; see optim/muon.hpp, which composes these operations with matrix products.
#include "mql4grec/backend/contract/adamw.hpp"

namespace mql4grec {
inline namespace contract {

/// Matrices of one shape that an update handles together.
struct matrix_group {
  static constexpr index_t capacity = 64;  ///< matrices at most: a group is passed to kernels by value
  index_t count = 0;                       ///< of matrices
  index_t rows = 0, columns = 0;           ///< of each
  index_t offsets[capacity] = {};          ///< of their first entries in the parameters
  double rates[capacity] = {};             ///< factors of their learning rates

  /// The number of entries of each matrix.
  MQL4GREC_HD index_t size() const { return rows * columns; }
};

/// The constants of one update of matrices.
struct muon_update {
  double momentum = 0.95;   ///< decay rate of the running sum of gradients
  double weight_decay = 0;  ///< decoupled: weights are multiplied by 1 − learning_rate · weight_decay
  double scale = 1;         ///< the direction is multiplied by learning_rate · scale
};

/// The arrays of an update of a group of matrices.
template <MemorySpace S, class T>
struct muon_tensors {
  view<T const, S, 1> gradient;  ///< (P) of the loss with respect to all parameters
  view<T, S, 1> parameters;      ///< (P)
  view<T, S, 1> momentum;        ///< (P) the running sum of gradients
  view<T, S, 1> direction;       ///< (count · size) what the group's matrices move against, one after the other
};

/// The values of a step that an update reads from the backend's memory; (1) each.
template <MemorySpace S>
struct step_values {
  view<step_inputs const, S, 1> inputs;  ///< the learning rate is read
  view<step_report const, S, 1> report;  ///< when it isn't finite, the update changes nothing
};

/// The factors of an update, the same for every entry of a matrix and on every backend. Computed in double precision
/// and rounded once.
template <Real T>
struct muon_factors {
  /// The gradient's scale; the momentum's decay; 1 − learning rate · weight decay; learning rate · scale.
  T gradient, momentum, keep, rate;

  /// The factors of one update of a matrix whose learning rate is multiplied by rate_factor.
  MQL4GREC_HD muon_factors(muon_update const& how, double rate_factor, step_inputs const& inputs,
                           step_report const& report) {
    double const learning_rate = inputs.learning_rate * rate_factor;
    gradient = static_cast<T>(report.gradient_scale);
    momentum = static_cast<T>(how.momentum);
    keep = static_cast<T>(1 - learning_rate * how.weight_decay);
    rate = static_cast<T>(learning_rate * how.scale);
  }
};

/// The factor by which normalize_rows multiplies a row, for the sum of the squares.
MQL4GREC_HD inline double inverse_norm(double squares) { return 1 / (std::sqrt(squares) + 1e-12); }

}  // namespace contract
}  // namespace mql4grec
