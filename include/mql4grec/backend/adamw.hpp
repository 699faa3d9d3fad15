#pragma once
#include <cmath>
#include <cstdint>

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
  T rate, keep, b1, b2, fresh1, fresh2, scale, root, eps;

  explicit adamw_factors(adamw_update const& how) {
    double const correction1 = 1 - std::pow(how.beta1, static_cast<double>(how.step));
    double const correction2 = 1 - std::pow(how.beta2, static_cast<double>(how.step));
    rate = static_cast<T>(how.learning_rate / correction1);
    keep = static_cast<T>(1 - how.learning_rate * how.weight_decay);
    b1 = static_cast<T>(how.beta1);
    b2 = static_cast<T>(how.beta2);
    fresh1 = static_cast<T>(1 - how.beta1);  // 1 − 0.999f is not 0.001f
    fresh2 = static_cast<T>(1 - how.beta2);
    scale = static_cast<T>(how.gradient_scale);
    root = static_cast<T>(1 / std::sqrt(correction2));
    eps = static_cast<T>(how.epsilon);
  }
};

}  // namespace mql4grec
