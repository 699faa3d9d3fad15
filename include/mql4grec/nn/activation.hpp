#pragma once
// The activations of encoders that are not trained: forward pass only, without dropout. For T5's, see feed_forward.hpp.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operations that BERT's and CLIP's activations require of a backend.
template <class B, class T>
concept GeluOps = Backend<B> && requires(B& b, out_matrix<B, T> h) {
  gelu_forward<T>(b, h);
  quick_gelu_forward<T>(b, h);
};

/// The operation that LLaMA's activation requires of a backend.
template <class B, class T>
concept SwigluOps = Backend<B> && requires(B& b, in_matrix<B, T> gates, out_matrix<B, T> h) {
  swiglu_forward<T>(b, gates, h);
};

/// h (rows, f) = h · Φ(h), in place: GELU (Hendrycks & Gimpel 2016) by the error function, "gelu" in transformers.
template <class T, class B>
void gelu(B& b, out_matrix<B, T> h) {
  static_assert(GeluOps<B, T>, "this backend has no gelu for this scalar; add it in backend/<name>/activation.hpp");
  gelu_forward<T>(b, h);
}

/// h (rows, f) = h · sigmoid(1.702 h), in place: "quick_gelu" in transformers.
template <class T, class B>
void quick_gelu(B& b, out_matrix<B, T> h) {
  static_assert(GeluOps<B, T>, "this backend has no gelu for this scalar; add it in backend/<name>/activation.hpp");
  quick_gelu_forward<T>(b, h);
}

/// h (rows, f) = silu(gate) ∘ linear (Shazeer 2020), where gates (rows, 2f) contains a row's gate values, then its
/// linear ones: one product with both weights. Throws error when shapes disagree.
template <class T, class B>
void swiglu(B& b, in_matrix<B, T> gates, out_matrix<B, T> h) {
  static_assert(SwigluOps<B, T>, "this backend has no swiglu for this scalar; add it in backend/<name>/activation.hpp");
  expects(gates.rows() == h.rows() && gates.columns() == 2 * h.columns(), "swiglu: gates are ", gates.rows(), " × ",
          gates.columns(), ", expected ", h.rows(), " × ", 2 * h.columns());
  swiglu_forward<T>(b, gates, h);
}

}  // namespace mql4grec::nn
