#pragma once
// Attention over packed sequences, with checked shapes.
#include "mql4grec/backend/contract/attention.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operations that attention over packed sequences requires of a backend.
template <class B, class T>
concept AttentionOps = Backend<B> &&
    requires(B& b, attention_inputs<typename B::memory_space, T> in, out_vector<B, T> weights, out_matrix<B, T> y,
             attention_gradients<typename B::memory_space, T> out) {
  attention_forward<T>(b, in, weights, y);
  attention_backward<T>(b, in, weights, y, out);
};

/// The operations that T5's relative position bias requires of a backend.
template <class B, class T>
concept RelativeBiasOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, in_vector<B, index_t> buckets, out_matrix<B, T> y) {
  relative_bias_forward<T>(b, x, buckets, y);
  relative_bias_backward<T>(b, buckets, x, y);
};

/// The operation that repeated attention to the same keys requires of a backend: pack_keys returns them in a faster
/// layout, in the backend's scratch, or an empty view. A backend with CaptureOps returns an empty view: work that is
/// captured keeps no scratch memory.
template <class B, class T>
concept KeyPackingOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> k, in_vector<B, index_t> key_offsets, index_t heads) {
  { pack_keys<T>(b, k, key_offsets, heads) } -> std::same_as<in_vector<B, T>>;
};

/// Optional: a plan that all attentions over the same sequences share.
template <class B>
concept AttentionPlanOps = Backend<B> && requires(B& b, attention_sequences<typename B::memory_space> of) {
  { plan_attention(b, of, attention_passes::forward) } -> std::same_as<attention_plan<typename B::memory_space>>;
};

/// A plan in the backend's scratch (valid until its scope ends); empty for a backend without plans. The name differs
/// from plan_attention: for a class derived from a backend that has that operation, this function would be the better
/// match and call itself.
template <class B>
[[nodiscard]] attention_plan<typename B::memory_space> make_attention_plan(
    B& b, attention_sequences<typename B::memory_space> const& of, attention_passes passes) {
  if constexpr (AttentionPlanOps<B>)
    return plan_attention(b, of, passes);
  else
    return {};
}

namespace detail {
template <class B, class T>
void check_attention(attention_inputs<typename B::memory_space, T> const& in, out_vector<B, T> weights) {
  static_assert(AttentionOps<B, T>,
                "this backend has no attention for this scalar; add it in backend/<name>/attention.hpp");
  expects(in.query_offsets.size() == in.key_offsets.size(), "attention: ", in.query_offsets.size() - 1,
          " sequences of queries but ", in.key_offsets.size() - 1, " of keys");
  expects(in.heads > 0 && in.group > 0 && in.heads % in.group == 0, "attention: ", in.heads, " heads in groups of ",
          in.group);
  expects(
      in.q.columns() == in.group * in.k.columns() && in.k.columns() == in.v.columns() && in.q.columns() % in.heads == 0,
      "attention: q, k, v are ", in.q.columns(), ", ", in.k.columns(), ", ", in.v.columns(), " wide for ", in.heads,
      " heads", in.group == 1 ? "" : " that share keys");
  expects(in.k.rows() == in.v.rows(), "attention: ", in.k.rows(), " keys but ", in.v.rows(), " values");
  expects(in.bias.size() == 0 || in.bias.rows() == in.heads, "attention: the bias has ", in.bias.rows(), " rows for ",
          in.heads, " heads");
  // at least one key per query; the exact number is in the offsets, which may be on a device
  expects(weights.size() >= in.heads * in.q.rows(), "attention: a place for ", weights.size(),
          " weights, expected at least ", in.heads * in.q.rows());
}

template <class V>
void check_like(V m, V like, char const* name) {
  expects(m.rows() == like.rows() && m.columns() == like.columns(), "attention: ", name, " is ", m.rows(), " × ",
          m.columns(), ", expected ", like.rows(), " × ", like.columns());
}
}  // namespace detail

/// context (query tokens, heads·width) = softmax(scale · q kᵀ + bias) v for every head of every packed sequence.
/// weights (Σ heads·queries·keys) is written for the backward pass, unless !in.keeps_weights. Throws error when shapes
/// disagree.
template <class T, class B>
void attention(B& b, attention_inputs<typename B::memory_space, T> const& in, out_vector<B, T> weights,
               out_matrix<B, T> context) {
  detail::check_attention<B, T>(in, weights);
  detail::check_like<in_matrix<B, T>>(context, in.q, "context");
  attention_forward<T>(b, in, weights, context);
}

/// Computes the gradients of the inputs from dcontext (query tokens, heads·width) and the forward pass' weights, which
/// a backend may overwrite. Throws error when shapes disagree, and for scaled scores or shared keys.
template <class T, class B>
void attention_gradient(B& b, attention_inputs<typename B::memory_space, T> const& in, out_vector<B, T> weights,
                        in_matrix<B, T> dcontext, attention_gradients<typename B::memory_space, T> const& out) {
  detail::check_attention<B, T>(in, weights);
  expects(in.group == 1 && in.scale == 1, "attention: there is no gradient for heads in groups of ", in.group,
          " and scores scaled by ", in.scale);
  detail::check_like<in_matrix<B, T>>(dcontext, in.q, "dcontext");
  detail::check_like<in_matrix<B, T>>(out.dq, in.q, "dq");
  detail::check_like<in_matrix<B, T>>(out.dk, in.k, "dk");
  detail::check_like<in_matrix<B, T>>(out.dv, in.v, "dv");
  if (out.dbias.size() > 0) detail::check_like<in_matrix<B, T>>(out.dbias, in.bias, "dbias");
  attention_backward<T>(b, in, weights, dcontext, out);
}

}  // namespace mql4grec::nn
