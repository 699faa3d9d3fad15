#pragma once
// Cross-entropy over the vocabulary. cross_entropy_backward overwrites the logits with their gradient.
#include <algorithm>
#include <cmath>
#include <complex>

#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::reference {

namespace detail {
/// log Σ_j exp(x_j). The maximum is treated as a real constant, so the function stays analytic for the complex step.
template <Field T>
T log_sum_exp_of(in_vector<backend, T> x) {
  auto highest = real_part(x(0));
  for (index_t j = 1; j < x.size(); ++j) highest = std::max(highest, real_part(x(j)));
  T sum{};
  for (index_t j = 0; j < x.size(); ++j) sum += std::exp(x(j) - T(highest));
  return std::log(sum) + T(highest);
}
}  // namespace detail

/// out (rows) = log Σ exp of each row of logits (rows,V): the normalizer of its softmax.
template <Field T>
void log_sum_exp(backend&, in_matrix<backend, T> logits, out_vector<backend, T> out) {
  for (index_t i = 0; i < logits.rows(); ++i) out(i) = detail::log_sum_exp_of<T>(logits.row(i));
}

/// losses (rows) = −log softmax(logits (rows,V)) at targets (rows); 0 where the target is no_target.
template <Field T>
void cross_entropy_forward(backend&, in_matrix<backend, T> logits, in_vector<backend, token_t> targets,
                           out_vector<backend, T> losses) {
  for (index_t i = 0; i < logits.rows(); ++i)
    losses(i) = targets(i) == no_target ? T{} : detail::log_sum_exp_of<T>(logits.row(i)) - logits(i, index(targets(i)));
}

/// Computes losses (rows) as above and, in the same pass, overwrites logits (rows,V) with their gradient, (softmax −
/// one-hot) · scale.
template <Field T>
void cross_entropy_backward(backend&, in_vector<backend, token_t> targets, double scale, out_matrix<backend, T> logits,
                            out_vector<backend, T> losses) {
  for (index_t i = 0; i < logits.rows(); ++i) {
    if (targets(i) == no_target) {
      losses(i) = T{};
      for (index_t j = 0; j < logits.columns(); ++j) logits(i, j) = T{};
      continue;
    }
    T const normaliser = detail::log_sum_exp_of<T>(logits.row(i));
    losses(i) = normaliser - logits(i, index(targets(i)));
    for (index_t j = 0; j < logits.columns(); ++j) {
      T const p = std::exp(logits(i, j) - normaliser);
      logits(i, j) = (j == index(targets(i)) ? p - constant<T>(1) : p) * constant<T>(scale);
    }
  }
}

}  // namespace mql4grec::reference
