#pragma once
// The policies of a transformer encoder: norm, activation, positions, mask, and where the norms stand. Each is a value
// with the numbers that it needs; the memory of a pass is the worker's scratch.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/embed/encoder/layers.hpp"
#include "mql4grec/nn/activation.hpp"
#include "mql4grec/nn/layer_norm.hpp"
#include "mql4grec/nn/rms_norm.hpp"
#include "mql4grec/nn/rotary.hpp"

namespace mql4grec::embed {

/// y (rows, d) = (x − mean) / √(variance + ε) ∘ gain + bias.
struct layer_norm {
  double epsilon;  ///< is added to the variance

  /// Writes y, which must not be x.
  template <class T, class B>
  void apply(B& b, in_matrix<B, T> x, norm_weights<T const, typename B::memory_space> const& w,
             out_matrix<B, T> y) const {
    nn::layer_norm<T>(b, {x, w.gain, w.bias}, epsilon, y);
  }
};

/// y (rows, d) = x / √(mean(x²) + ε) ∘ gain.
struct rms_norm {
  double epsilon;  ///< is added to the mean square

  /// Writes y, which must not be x.
  template <class T, class B>
  void apply(B& b, in_matrix<B, T> x, norm_weights<T const, typename B::memory_space> const& w,
             out_matrix<B, T> y) const {
    scratch_scope<B> const scope(b.scratch());
    nn::rms_norm<T>(b, {x, w.gain}, epsilon, y, take<T>(b, x.rows()));
  }
};

/// x · Φ(x), by the error function.
struct gelu {
  /// Returns the activated (rows, ff), in place.
  template <class T, class B>
  in_matrix<B, T> apply(B& b, out_matrix<B, T> expanded) const {
    nn::gelu<T>(b, expanded);
    return expanded;
  }
};

/// x · σ(1.702 x), or GELU for CLIPs that were trained with it.
struct quick_gelu {
  bool exact = false;  ///< GELU instead

  /// Returns the activated (rows, ff), in place.
  template <class T, class B>
  in_matrix<B, T> apply(B& b, out_matrix<B, T> expanded) const {
    if (exact) return gelu{}.apply<T>(b, expanded);
    nn::quick_gelu<T>(b, expanded);
    return expanded;
  }
};

/// silu(gate) ∘ linear.
struct swiglu {
  /// Returns (rows, ff) of the gates and linear values (rows, 2·ff), in the scratch.
  template <class T, class B>
  in_matrix<B, T> apply(B& b, out_matrix<B, T> expanded) const {
    auto const hidden = take<T>(b, expanded.rows(), expanded.columns() / 2);
    nn::swiglu<T>(b, expanded, hidden);
    return hidden;
  }
};

/// Positions are a part of the embeddings: queries and keys have none.
struct no_rotation {
  /// Does nothing.
  template <class T, class B>
  void apply(B&, out_matrix<B, T>) const {}
};

/// Rotary positions (Su et al. 2021) of queries and keys, half-rotation: column c of a head is paired with column
/// c + width / 2.
template <class B, class T>
struct rotary {
  rotary_table<typename B::memory_space, T> table;  ///< of all positions of the longest text
  in_vector<B, index_t> positions;                  ///< (rows) of each row in its text

  /// Rotates the heads of x (rows, heads·head width), in place.
  template <class U>
  void apply(B& b, out_matrix<B, U> x) const {
    nn::rotary<T>(b, table, positions, x);
  }
};

/// Which keys a query attends to: all of its sequence, or those up to its own position.
enum class attention_mask { none, causal };
/// Whether a sublayer reads the norm of the residual stream, or the norm follows the sum.
enum class norm_order { before, after };

}  // namespace mql4grec::embed
