#pragma once
// The options and operands of a Muon update, and the factors that every backend derives from them. Muon moves a matrix
// along its momentum, made orthogonal; see optim/muon.hpp, which composes these operations with matrix products.
#include "mql4grec/backend/contract/adamw.hpp"

namespace mql4grec {
inline namespace contract {

/// The constants of one update of a matrix.
struct muon_update {
  double momentum = 0.95;   ///< decay rate of the running sum of gradients
  double weight_decay = 0;  ///< decoupled: weights are multiplied by 1 − learning_rate · weight_decay
  double scale = 1;         ///< the direction is multiplied by learning_rate · scale
};

/// The arrays of an update of one matrix, (n) each.
template <MemorySpace S, class T>
struct muon_tensors {
  view<T const, S, 1> gradient;  ///< of the loss with respect to the parameters
  view<T, S, 1> parameters;      ///< the matrix
  view<T, S, 1> momentum;        ///< the running sum of gradients
  view<T, S, 1> direction;       ///< what the parameters move against
};

/// The values of a step that an update reads from the backend's memory; (1) each.
template <MemorySpace S>
struct step_values {
  view<step_inputs const, S, 1> inputs;  ///< the learning rate is read
  view<step_report const, S, 1> report;  ///< when it isn't finite, the update changes nothing
};

/// The factors of an update, the same for every entry and on every backend. Computed in double precision and rounded
/// once.
template <Real T>
struct muon_factors {
  /// The gradient's scale; the momentum's decay; 1 − learning rate · weight decay; learning rate · scale.
  T gradient, momentum, keep, rate;

  /// The factors of one update.
  MQL4GREC_HD muon_factors(muon_update const& how, step_inputs const& inputs, step_report const& report) {
    gradient = static_cast<T>(report.gradient_scale);
    momentum = static_cast<T>(how.momentum);
    keep = static_cast<T>(1 - inputs.learning_rate * how.weight_decay);
    rate = static_cast<T>(inputs.learning_rate * how.scale);
  }
};

/// The factor by which divide_by_norm multiplies, for the sum of the squares.
MQL4GREC_HD inline double inverse_norm(double squares) { return 1 / (std::sqrt(squares) + 1e-12); }

}  // namespace contract
}  // namespace mql4grec
