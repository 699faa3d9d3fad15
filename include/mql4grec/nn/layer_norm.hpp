#pragma once
// LayerNorm, with checked shapes. There is no backward pass: the encoders that use it are not trained.
#include "mql4grec/backend/contract/layer_norm.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operation that LayerNorm requires of a backend.
template <class B, class T>
concept LayerNormOps = Backend<B> &&
    requires(B& b, layer_norm_inputs<typename B::memory_space, T> in, out_matrix<B, T> y) {
  layer_norm_forward<T>(b, in, 1e-5, y);
};

/// y (rows, d) = (x − mean) / √(variance + eps) ∘ gain + bias, row by row (Ba et al. 2016). y may be in.x. eps is 1e-12
/// in BERT and 1e-5 in CLIP. Throws error when shapes disagree.
template <class T, class B>
void layer_norm(B& b, layer_norm_inputs<typename B::memory_space, T> const& in, double eps, out_matrix<B, T> y) {
  static_assert(LayerNormOps<B, T>,
                "this backend has no layer_norm for this scalar; add it in backend/<name>/layer_norm.hpp");
  expects(in.x.columns() == in.gain.size() && in.x.columns() == in.bias.size(), "layer_norm: x has ", in.x.columns(),
          " columns but gain has ", in.gain.size(), " entries and bias ", in.bias.size());
  expects(y.rows() == in.x.rows() && y.columns() == in.x.columns(), "layer_norm: y is ", y.rows(), " × ", y.columns(),
          ", expected ", in.x.rows(), " × ", in.x.columns());
  layer_norm_forward<T>(b, in, eps, y);
}

}  // namespace mql4grec::nn
