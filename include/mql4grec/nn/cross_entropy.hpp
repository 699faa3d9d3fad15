#pragma once
// The language model's loss, with checked shapes. cross_entropy_gradient overwrites the logits.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::nn {

/// The operations that the language model's loss requires of a backend.
template <class B, class T>
concept CrossEntropyOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, in_vector<B, token_t> targets, out_matrix<B, T> y, out_vector<B, T> losses) {
  cross_entropy_forward<T>(b, x, targets, losses);
  cross_entropy_backward<T>(b, targets, 1.0, y, losses);
  log_sum_exp<T>(b, x, losses);
  sum<T>(b, in_vector<B, T>(losses));
};

/// losses (rows) = −log softmax(logits (rows, V)) at targets (rows); 0 where the target is no_target. Throws error when
/// shapes disagree.
template <class T, class B>
void cross_entropy(B& b, in_matrix<B, T> logits, in_vector<B, token_t> targets, out_vector<B, T> losses) {
  static_assert(CrossEntropyOps<B, T>,
                "this backend has no cross_entropy for this scalar; add it in backend/<name>/cross_entropy.hpp");
  expects(logits.rows() == targets.size(), "cross_entropy: ", logits.rows(), " rows of logits for ", targets.size(),
          " targets");
  expects(losses.size() == targets.size(), "cross_entropy: ", losses.size(), " losses for ", targets.size(),
          " targets");
  cross_entropy_forward<T>(b, logits, targets, losses);
}

/// Computes the same losses, and overwrites logits (rows, V) with their gradient (softmax − one-hot) · scale. Throws
/// error when shapes disagree.
template <class T, class B>
void cross_entropy_gradient(B& b, in_vector<B, token_t> targets, double scale, out_matrix<B, T> logits,
                            out_vector<B, T> losses) {
  static_assert(CrossEntropyOps<B, T>,
                "this backend has no cross_entropy for this scalar; add it in backend/<name>/cross_entropy.hpp");
  expects(logits.rows() == targets.size(), "cross_entropy: ", logits.rows(), " rows of logits for ", targets.size(),
          " targets");
  expects(losses.size() == targets.size(), "cross_entropy: ", losses.size(), " losses for ", targets.size(),
          " targets");
  cross_entropy_backward<T>(b, targets, scale, logits, losses);
}

}  // namespace mql4grec::nn
