#pragma once
#include "mql4grec/backend/concepts.hpp"
#include "mql4grec/backend/dropout.hpp"

namespace mql4grec::nn {

enum class activation { relu, gated_gelu };

/// How many matrices stand in front of the activation: a gated one has a gate and a linear branch, merged into one product.
constexpr index_t branches(activation a) { return a == activation::gated_gelu ? 2 : 1; }

/// What the feed-forward activations ask of a backend.
template <class B, class T>
concept ActivationOps = Backend<B> && requires(B& b, dropout site, in_matrix<B, T> x, out_matrix<B, T> y) {
  relu_forward<T>(b, site, y);
  relu_backward<T>(b, site, x, y);
  gated_gelu_forward<T>(b, site, x, y);
  gated_gelu_backward<T>(b, site, x, y, y);
};

}  // namespace mql4grec::nn
