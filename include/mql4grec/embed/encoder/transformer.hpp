#pragma once
// The forward pass of a transformer encoder over packed sequences, written once for all models; policies.hpp has what
// differs. Nothing is kept for a backward pass. All temporaries are in the worker's scratch.
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/encoder/item_encoder.hpp"
#include "mql4grec/embed/encoder/policies.hpp"
#include "mql4grec/nn/attention.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/nn/mean_pool.hpp"

namespace mql4grec::embed {

namespace detail {

/// Packed sequences in a backend's memory: sequence s has the rows offsets(s) … offsets(s+1)−1.
template <class B>
struct packed_sequences {
  in_vector<B, index_t> offsets;  // (sequences + 1)
  index_t rows = 0;               // of all sequences
  index_t longest = 0;            // rows of the longest sequence
  index_t pairs = 0;              // Σ over sequences of their length squared
};

/// Copies offsets to the scratch. They must begin at 0 and not decrease.
template <class B>
packed_sequences<B> take_sequences(B& b, std::vector<index_t> const& offsets) {
  packed_sequences<B> out;
  for (std::size_t s = 1; s < offsets.size(); ++s) {
    index_t const length = offsets[s] - offsets[s - 1];
    expects(length >= 0, "encoder: text ", s - 1, " has ", length, " tokens");
    out.longest = std::max(out.longest, length);
    out.pairs += length * length;
  }
  out.rows = offsets.back();
  auto const write = [&](host_vector_view<index_t> to) { std::ranges::copy(offsets, to.data); };
  out.offsets = device_copy<index_t, B>(b, std::ssize(offsets), write).view_all();
  return out;
}

/// Each row's position in its text, as Index, in the scratch.
template <class Index, class B>
in_vector<B, Index> take_positions(B& b, std::vector<index_t> const& offsets) {
  auto const write = [&](host_vector_view<Index> out) {
    for (std::size_t s = 1; s < offsets.size(); ++s)
      for (index_t i = offsets[s - 1]; i < offsets[s]; ++i) out(i) = static_cast<Index>(i - offsets[s - 1]);
  };
  return device_copy<Index, B>(b, offsets.back(), write).view_all();
}

/// y = x · weightᵀ + bias, if there is one.
template <class T, class B>
void affine(B& b, in_matrix<B, T> x, nn::dense_weights<T const, typename B::memory_space> const& w,
            out_matrix<B, T> y) {
  if (w.bias.size() > 0)
    nn::dense<T>(b, x, w, nn::rectifier::none, y);
  else
    nn::linear<T>(b, x, w.weight, y);
}

}  // namespace detail

/// What distinguishes one transformer from another. Policies are described in policies.hpp.
template <class Norm, class Activation, class Position>
struct transformer {
  Norm norm;              ///< layer_norm or rms_norm
  Activation activation;  ///< gelu, quick_gelu or swiglu
  Position position;      ///< no_rotation or rotary
  attention_mask mask;    ///< which keys a query attends to
  norm_order order;       ///< where the norms stand
  index_t heads;          ///< of the queries
  index_t key_heads;      ///< of keys and values; a divisor of `heads`
  index_t head_width;     ///< columns of a head
};

namespace detail {

template <class B, class T>
using layer_on = layer_weights<T const, typename B::memory_space>;

/// y (rows, d) = self-attention of x (rows, d), with the output matrix.
template <class T, class B, class Policies>
void self_attention(B& b, Policies const& p, packed_sequences<B> const& in, layer_on<B, T> const& w, in_matrix<B, T> x,
                    out_matrix<B, T> y) {
  scratch_scope<B> const scope(b.scratch());
  index_t const inner = p.heads * p.head_width, shared = p.key_heads * p.head_width;
  auto const qkv = take<T>(b, in.rows, inner + 2 * shared);
  affine<T>(b, x, w.qkv, qkv);
  p.position.apply(b, qkv.column_block(0, inner + shared));
  auto const context = take<T>(b, in.rows, inner);
  nn::attention<T>(b,
                   {.q = qkv.column_block(0, inner),
                    .k = qkv.column_block(inner, shared),
                    .v = qkv.column_block(inner + shared, shared),
                    .query_offsets = in.offsets,
                    .key_offsets = in.offsets,
                    .heads = p.heads,
                    .group = p.heads / p.key_heads,
                    .scale = 1 / std::sqrt(static_cast<double>(p.head_width)),
                    .causal = p.mask == attention_mask::causal,
                    .keeps_weights = false},
                   take<T>(b, p.heads * in.pairs), context);
  affine<T>(b, context, w.output, y);
}

/// y (rows, d) = the feed-forward sublayer of x (rows, d).
template <class T, class B, class Policies>
void feed_forward(B& b, Policies const& p, layer_on<B, T> const& w, in_matrix<B, T> x, out_matrix<B, T> y) {
  scratch_scope<B> const scope(b.scratch());
  auto const expanded = take<T>(b, x.rows(), w.expand.weight.rows());
  affine<T>(b, x, w.expand, expanded);
  affine<T>(b, p.activation.template apply<T>(b, expanded), w.contract, y);
}

/// Replaces the residual stream x (rows, d) by its sum with a sublayer's result. The sublayer is called with what it
/// reads and where it writes.
template <class T, class B, class Policies, class Sublayer>
void add_sublayer(B& b, Policies const& p, norm_weights<T const, typename B::memory_space> const& norm,
                  out_matrix<B, T> x, Sublayer&& sublayer) {
  scratch_scope<B> const scope(b.scratch());
  auto const result = take<T>(b, x.rows(), x.columns());
  if (p.order == norm_order::before) {
    auto const normed = take<T>(b, x.rows(), x.columns());
    p.norm.template apply<T>(b, x, norm, normed);
    sublayer(normed, result);
    accumulate<T>(b, result.flat(), x.flat());
  } else {
    sublayer(x, result);
    accumulate<T>(b, x.flat(), result.flat());
    p.norm.template apply<T>(b, result, norm, x);
  }
}

}  // namespace detail

/// Runs all layers on the residual stream x (rows, d), contiguous, in place.
template <class T, class B, class Policies>
void transform(B& b, Policies const& p, detail::packed_sequences<B> const& in,
               std::vector<layer_weights<T const, typename B::memory_space>> const& layers, out_matrix<B, T> x) {
  if (in.rows == 0) return;
  for (auto const& w : layers) {
    detail::add_sublayer<T>(b, p, w.attention_norm, x, [&](in_matrix<B, T> from, out_matrix<B, T> to) {
      detail::self_attention<T>(b, p, in, w, from, to);
    });
    detail::add_sublayer<T>(b, p, w.feed_forward_norm, x, [&](in_matrix<B, T> from, out_matrix<B, T> to) {
      detail::feed_forward<T>(b, p, w, from, to);
    });
  }
}

}  // namespace mql4grec::embed
