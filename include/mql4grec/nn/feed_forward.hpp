#pragma once
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/nn/linear.hpp"

namespace mql4grec::nn {

enum class activation { relu, gated_gelu };

/// How many matrices stand in front of the activation: a gated one has a gate and a linear branch, merged into one
/// product.
constexpr index_t branches(activation a) { return a == activation::gated_gelu ? 2 : 1; }

/// What the feed-forward activations ask of a backend.
template <class B, class T>
concept ActivationOps = Backend<B> && requires(B& b, dropout site, in_matrix<B, T> x, out_matrix<B, T> y) {
  relu_forward<T>(b, site, y);
  relu_backward<T>(b, site, x, y);
  gated_gelu_forward<T>(b, site, x, y);
  gated_gelu_backward<T>(b, site, x, y, y);
};

/// What a backend may have beyond LinearOps and ActivationOps: a linear map and the ReLU behind it at once.
template <class B, class T>
concept LinearReluOps = LinearOps<B, T> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y) {
  linear_relu_forward<T>(b, x, x, double{}, y);
};

/// h (rows, out) = dropout(max(0, x (rows, in) · weightᵀ)), weight (out, in) as it is or from freeze_weight.
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
