#pragma once
// The options and operands of an AdamW update, and the factors that every backend derives from the options. Factors are
// computed in double precision and rounded once.
#include <cmath>
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace contract {

/// The hyper-parameters of one AdamW update (Loshchilov & Hutter, ICLR 2019). The order of operations is that of
/// torch.optim.AdamW.
struct adamw_update {
  double learning_rate = 1e-3;                        ///< of this update
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< decay rates of the moments; term added to the root
  double weight_decay = 0;    ///< decoupled: weights are multiplied by 1 − learning_rate · weight_decay
  std::int64_t step = 1;      ///< of this update, counted from 1; the bias corrections depend on it
  double gradient_scale = 1;  ///< the gradient is multiplied by this before it is used; clipping sets it
};

/// The arrays of an AdamW update, (n) each. `gradient` is only read; the parameters and both moments are updated.
template <MemorySpace S, class T>
struct adamw_tensors {
  view<T const, S, 1> gradient;  ///< of the loss with respect to the parameters
  view<T, S, 1> parameters;      ///< the model's parameters
  view<T, S, 1> first, second;   ///< running means of the gradients and of their squares

  /// The entries first_entry … first_entry + count − 1 of every array.
  [[nodiscard]] adamw_tensors part(index_t first_entry, index_t count) const {
    return {gradient.part(first_entry, count), parameters.part(first_entry, count), first.part(first_entry, count),
            second.part(first_entry, count)};
  }
};

/// The factors of an update, the same for every entry and on every backend. Computed in double precision and rounded
/// once.
template <Real T>
struct adamw_factors {
  /// learning rate / (1 − β₁ᵗ); 1 − learning rate · weight decay; β₁; β₂; 1 − β₁; 1 − β₂; the gradient's scale; 1 / √(1
  /// − β₂ᵗ); ε.
  T rate, keep, b1, b2, one_minus_beta1, one_minus_beta2, scale, inv_sqrt_correction2, eps;

  /// The factors of one update.
  MQL4GREC_HD explicit adamw_factors(adamw_update const& how) {
    double const correction1 = 1 - std::pow(how.beta1, static_cast<double>(how.step));
    double const correction2 = 1 - std::pow(how.beta2, static_cast<double>(how.step));
    rate = static_cast<T>(how.learning_rate / correction1);
    keep = static_cast<T>(1 - how.learning_rate * how.weight_decay);
    b1 = static_cast<T>(how.beta1);
    b2 = static_cast<T>(how.beta2);
    one_minus_beta1 = static_cast<T>(1 - how.beta1);  // 1 − 0.999f is not 0.001f
    one_minus_beta2 = static_cast<T>(1 - how.beta2);
    scale = static_cast<T>(how.gradient_scale);
    inv_sqrt_correction2 = static_cast<T>(1 / std::sqrt(correction2));
    eps = static_cast<T>(how.epsilon);
  }
};

/// The values that differ between updates. They are stored in the backend's memory, where captured work reads them.
struct step_inputs {
  double learning_rate = 0;  ///< of this update
  double tokens = 1;         ///< number of tokens that the gradient is summed over; the update uses the mean gradient
  std::int64_t step = 1;     ///< of this update, counted from 1
};

/// The result of an update, in the backend's memory. When the loss or the norm isn't finite, the update changed
/// nothing.
struct step_report {
  double loss = 0;            ///< mean loss per token
  double norm = 0;            ///< norm of the mean loss' gradient, before clipping
  double gradient_scale = 1;  ///< factor that clips the gradient and turns a sum over tokens into their mean

  /// Whether both the loss and the norm are finite.
  MQL4GREC_HD bool finite() const { return loss - loss == 0 && norm - norm == 0; }
};

/// The options of captured updates. They are constant while the work is captured.
struct captured_adamw_options {
  adamw_update constants;  ///< learning_rate, step and gradient_scale are ignored: they are computed from step_inputs
  double clip_norm = 1;    ///< the maximum norm of the mean gradient; ≤ 0 disables clipping
  index_t decayed = 0;     ///< weight decay applies to the first `decayed` parameters only
  /// The entries skipped_first … skipped_last − 1 are not updated: another optimizer updates them.
  index_t skipped_first = 0, skipped_last = 0;
};

/// What a captured update reads from and writes to the backend's memory besides its tensors; (1) each.
template <MemorySpace S>
struct captured_step_memory {
  view<step_inputs const, S, 1> inputs;  ///< the values of this update
  view<double const, S, 1> losses;       ///< the sum of the losses over inputs.tokens tokens
  view<step_report, S, 1> report;        ///< the result
};

/// The factor that a gradient is multiplied by so that its norm is at most `clip_norm`: clip_norm / norm, at most 1
/// (torch.nn.utils.clip_grad_norm_). clip_norm ≤ 0 disables clipping and gives 1.
MQL4GREC_HD constexpr double clipping_factor(double clip_norm, double norm) {
  double const factor = clip_norm / (norm + 1e-6);
  return clip_norm > 0 && factor < 1 ? factor : 1.0;
}

/// The hyper-parameters of one captured update: the constant ones of `options`, the learning rate and step of `inputs`,
/// and the gradient's scale from clipping its `norm` and from the number of tokens.
MQL4GREC_HD inline adamw_update update_of(captured_adamw_options const& options, step_inputs const& inputs,
                                          double norm) {
  adamw_update how = options.constants;
  how.learning_rate = inputs.learning_rate;
  how.step = inputs.step;
  how.gradient_scale = clipping_factor(options.clip_norm, norm) / inputs.tokens;
  return how;
}

}  // namespace contract
}  // namespace mql4grec
