#pragma once
// The activations of T5's feed-forward layers, and a linear map followed by a ReLU.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/nn/linear.hpp"

namespace mql4grec::nn {

/// The feed-forward layer's activation: ReLU (T5 v1.0) or gated GELU (T5 v1.1).
enum class activation { relu, gated_gelu };

/// The number of weight matrices before the activation. A gated activation has a gate and a linear branch, merged into
/// one product.
constexpr index_t branches(activation a) { return a == activation::gated_gelu ? 2 : 1; }

/// The operations that the feed-forward activations require of a backend.
template <class B, class T>
concept ActivationOps = Backend<B> && requires(B& b, dropout site, in_matrix<B, T> x, out_matrix<B, T> y) {
  relu_forward<T>(b, site, y);
  relu_backward<T>(b, site, x, y);
  gated_gelu_forward<T>(b, site, x, y);
  gated_gelu_backward<T>(b, site, x, y, y);
};

/// Optional, besides LinearOps and ActivationOps: a linear map followed by a ReLU as one operation.
template <class B, class T>
concept LinearReluOps = LinearOps<B, T> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y) {
  linear_relu_forward<T>(b, x, x, double{}, y);
};

/// h (rows, out) = dropout(max(0, x (rows, in) · weightᵀ)). The weight (out, in) is a view or the result of
/// freeze_weight. Throws error when shapes disagree.
template <class T, class B, class Weight>
void linear_relu(B& b, dropout const& site, in_matrix<B, T> x, Weight const& weight, out_matrix<B, T> h) {
  static_assert(ActivationOps<B, T>,
                "this backend has no activations for this scalar; add them in backend/<name>/activation.hpp");
  using plain = plain_weight<typename B::memory_space, T>;
  if constexpr (LinearReluOps<B, T> && requires { plain{weight}; }) {
    plain const w{weight};
    detail::check_linear(x, w, h);
    linear_relu_forward<T>(b, x, w.values, w.alpha, h);
    dropout_apply<T>(b, site, h);
  } else {
    linear<T>(b, x, weight, h);
    relu_forward<T>(b, site, h);
  }
}

}  // namespace mql4grec::nn
