#pragma once
// A linear map with a bias, optionally followed by a ReLU, for multi-layer perceptrons. T5 has no biases; see
// linear.hpp. There is no backward function here: callers use relu_backward, bias_backward and matmul.
#include "mql4grec/nn/linear.hpp"

namespace mql4grec::nn {

/// The operations that a layer with a bias requires of a backend.
template <class B, class T>
concept DenseOps = LinearOps<B, T> && requires(B& b, in_vector<B, T> v, out_matrix<B, T> y) {
  bias_forward<T>(b, v, y);
  bias_relu_forward<T>(b, v, y);
};

/// Optional: the whole layer as one operation.
template <class B, class T>
concept DenseLayerOps = DenseOps<B, T> && requires(B& b, in_matrix<B, T> x, in_vector<B, T> v, out_matrix<B, T> y) {
  dense_forward<T>(b, x, x, v, y);
  dense_relu_forward<T>(b, x, x, v, y);
};

/// What is applied after the bias.
enum class rectifier { none, relu };

/// A layer's parameters, or their gradients. T may be const.
template <class T, MemorySpace S>
struct dense_weights {
  view<T, S, 2> weight;  ///< (out, in), as PyTorch stores it
  view<T, S, 1> bias;    ///< (out)
};

/// y (rows, out) = [max(0, ·)] x (rows, in) · weightᵀ + bias. Throws error when shapes disagree.
template <class T, class B>
void dense(B& b, in_matrix<B, T> x, dense_weights<T const, typename B::memory_space> const& w, rectifier end,
           out_matrix<B, T> y) {
  static_assert(DenseOps<B, T>, "this backend has no bias_forward for this scalar; add it in backend/<name>/bias.hpp");
  expects(w.bias.size() == y.columns(), "dense: y has ", y.columns(), " columns but the bias ", w.bias.size(),
          " entries");
  if constexpr (DenseLayerOps<B, T>) {
    detail::check_linear(x, w.weight, y);
    if (end == rectifier::relu)
      dense_relu_forward<T>(b, x, w.weight, w.bias, y);
    else
      dense_forward<T>(b, x, w.weight, w.bias, y);
  } else {
    linear<T>(b, x, w.weight, y);
    if (end == rectifier::relu)
      bias_relu_forward<T>(b, w.bias, y);
    else
      bias_forward<T>(b, w.bias, y);
  }
}

}  // namespace mql4grec::nn
