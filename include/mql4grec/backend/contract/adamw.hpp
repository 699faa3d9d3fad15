#pragma once
#include <cmath>
#include <cstdint>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// One AdamW update (Loshchilov & Hutter, ICLR 2019; the order of operations is torch.optim.AdamW's).
struct adamw_update {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  std::int64_t step = 1;      ///< 1 for the first update: the bias corrections need it
  double gradient_scale = 1;  ///< clipping's factor, applied while the gradient is read
};

/// What an update multiplies by, the same for every entry and on every backend: worked out in double, rounded once.
template <Real T>
struct adamw_factors {
  T rate, keep, b1, b2, one_minus_beta1, one_minus_beta2, scale, inv_sqrt_correction2, eps;

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

/// What changes from update to update, in the backend's memory, where recorded work reads it.
struct step_inputs {
  double learning_rate = 0;
  double tokens = 1;      ///< that the gradient is a sum over: the update is by the mean's
  std::int64_t step = 1;  ///< 1 for the first update
};

/// What became of an update, in the backend's memory. Where one of the two isn't finite, nothing was changed.
struct step_report {
  double loss = 0;  ///< mean a token
  double norm = 0;  ///< of the mean loss' gradient, before clipping

  MQL4GREC_HD bool finite() const { return loss - loss == 0 && norm - norm == 0; }
};

/// clip_norm / norm when the gradient is longer than that, else 1 (torch.nn.utils.clip_grad_norm_); without clipping
/// (clip_norm ≤ 0) 1.
MQL4GREC_HD constexpr double clipping_factor(double clip_norm, double norm) {
  double const factor = clip_norm / (norm + 1e-6);
  return clip_norm > 0 && factor < 1 ? factor : 1.0;
}

/// The update that `rule`, with its constant numbers, makes of an order for a gradient of this norm.
MQL4GREC_HD inline adamw_update update_of(adamw_update rule, double clip_norm, step_inputs const& order, double norm) {
  rule.learning_rate = order.learning_rate;
  rule.step = order.step;
  rule.gradient_scale = clipping_factor(clip_norm, norm) / order.tokens;
  return rule;
}

}  // namespace mql4grec
