#pragma once
// Cross-entropy for float. cross_entropy_backward overwrites the logits with their gradient.
#include <algorithm>
#include <cmath>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct log_sum_exp_kernel {
  struct result {
    float highest, sum;
  };
  MQL4GREC_INLINE static result run(float const* x, index_t n) {
    float const shift = highest(x, n);
    return {shift, sum_of_exp(x, n, shift)};
  }
};

inline float log_sum_exp_of(float const* x, index_t n) {
  auto const [highest, sum] = dispatch<log_sum_exp_kernel>(x, n);
  return highest + std::log(sum);
}

struct softmax_gradient_kernel {
  MQL4GREC_INLINE static void run(float* x, index_t n, float normaliser, float scale) {
    for (index_t j = 0; j < n; ++j) x[j] = exp_approximate(x[j] - normaliser) * scale;
  }
};

}  // namespace detail

template <std::same_as<float> T>
void log_sum_exp(backend&, in_matrix<backend, T> logits, out_vector<backend, T> out) {
  for (index_t i = 0; i < logits.rows(); ++i) out(i) = detail::log_sum_exp_of(logits.row(i).data, logits.columns());
}

template <std::same_as<float> T>
void cross_entropy_forward(backend&, in_matrix<backend, T> logits, in_vector<backend, token_t> targets,
                           out_vector<backend, T> losses) {
  for (index_t i = 0; i < logits.rows(); ++i)
    losses(i) = targets(i) == no_target
                    ? 0
                    : detail::log_sum_exp_of(logits.row(i).data, logits.columns()) - logits(i, index(targets(i)));
}

template <std::same_as<float> T>
void cross_entropy_backward(backend&, in_vector<backend, token_t> targets, double scale, out_matrix<backend, T> logits,
                            out_vector<backend, T> losses) {
  for (index_t i = 0; i < logits.rows(); ++i) {
    if (targets(i) == no_target) {
      losses(i) = 0;
      std::fill_n(logits.row(i).data, logits.columns(), 0.f);
      continue;
    }
    float const normaliser = detail::log_sum_exp_of(logits.row(i).data, logits.columns());
    losses(i) = normaliser - logits(i, index(targets(i)));
    dispatch<detail::softmax_gradient_kernel>(logits.row(i).data, logits.columns(), normaliser,
                                              static_cast<float>(scale));
    logits(i, index(targets(i))) -= static_cast<float>(scale);
  }
}

}  // namespace mql4grec::cpu
