#pragma once
// The three sublayers of a T5 layer (self-attention, cross-attention, feed-forward) as pairs of forward and backward
// functions.
//
// - Forward: reads norm(x) of the residual stream x and writes the next point of the stream, x + dropout(f(norm(x))),
//   and its norm.
// - Backward: `dout` enters as the gradient of this sublayer's output f and leaves, in place, as the gradient of the
//   previous sublayer's output. `dstream`, the gradient of the residual stream, is accumulated.
// - Tapes contain the activations that the backward pass reads. Their memory is the worker's scratch, so a tape is
//   valid until the scope ends in which it was allocated.
#include "mql4grec/nn/attention.hpp"
#include "mql4grec/nn/dropout.hpp"
#include "mql4grec/nn/feed_forward.hpp"
#include "mql4grec/nn/linear.hpp"
#include "mql4grec/nn/residual_norm.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec::detail {

/// Packed sequences: sequence s has the rows offsets(s) … offsets(s+1)−1.
template <class B>
struct packed_rows {
  in_vector<B, index_t> offsets = {};  ///< (sequences + 1)
  index_t rows = 0;                    ///< rows of all sequences
  index_t longest = 0;                 ///< rows of the longest sequence
  index_t pairs = 0;                   ///< Σ over sequences of their length squared
  index_t first_row = 0;               ///< number of row 0 within the whole batch, by which dropout numbers rows

  index_t sequences() const { return offsets.size() - 1; }
};

/// The relative position bias of one stack, one column per distance; see attention_inputs::bias.
template <class M>
struct position_bias {
  M by_distance;  ///< (heads, distances)
  index_t zero_distance = 0;
};

/// The values that all sublayers of a stack share during one pass.
template <class B, class T>
struct stack_pass {
  B& backend;
  t5_config const& config;
  nn::dropout_plan plan;
  packed_rows<B> rows;
  bool causal = false;
  position_bias<in_matrix<B, T>> bias;
  out_matrix<B, T> bias_gradient = {};                      ///< like bias.by_distance; empty in a forward pass
  attention_plan<typename B::memory_space> attention = {};  ///< of self-attention

  dropout drop(index_t site) const { return plan.at(site, rows.first_row); }
};

// Every sublayer has four dropout sites: three inside, one at its end.
inline constexpr index_t sites_per_sublayer = 4;
enum : index_t { site_weights = 0, site_hidden = 1, site_residual = 2 };

/// A point of the residual stream between two sublayers, and its norm, which the next sublayer reads.
template <class B, class T>
struct stream_point {
  out_matrix<B, T> stream, normed;  // (rows, d)
  out_vector<B, T> inv_rms;         // (rows)
  in_vector<B, T> gain = {};        // (d) gain of the norm
  index_t site = 0;                 // dropout site of what was added to the stream last

  /// The same memory, before another norm.
  stream_point before(in_vector<B, T> other_gain, index_t other_site = 0) const {
    return {stream, normed, inv_rms, other_gain, other_site};
  }
};

/// A point of the stream in the scratch.
template <class B, class T>
stream_point<B, T> take_point(stack_pass<B, T> const& pass) {
  auto& b = pass.backend;
  index_t const rows = pass.rows.rows, d = pass.config.model_width;
  return {take<T>(b, rows, d), take<T>(b, rows, d), take<T>(b, rows)};
}

/// Adds the previous point of the stream to to.stream, which contains the output of a sublayer, and writes the norm of
/// the sum.
template <class B, class T>
void add_and_norm(stack_pass<B, T> const& pass, stream_point<B, T> const& from, stream_point<B, T> const& to) {
  nn::residual_norm<T>(pass.backend, pass.drop(to.site), from.stream, to.gain, pass.config.epsilon, to.stream,
                       to.normed, to.inv_rms);
}

/// Turns dout, the gradient of at.normed, into the gradient of what was added to the stream last.
template <class B, class T>
void add_and_norm_gradient(stack_pass<B, T> const& pass, stream_point<B, T> const& at, out_matrix<B, T> dout,
                           out_matrix<B, T> dstream, out_vector<B, T> dgain) {
  nn::residual_norm_gradient<T>(pass.backend, pass.drop(at.site), at.stream, at.gain, at.inv_rms, dout, dstream, dgain);
}

// ---- self-attention ------------------------------------------------------------------------------------------------

/// Activations of an attention sublayer.
template <class B, class T>
struct attention_tape {
  out_matrix<B, T> projected;  // (rows, 3·inner): q, k, v; in cross-attention (rows, inner): q
  out_vector<B, T> weights;    // (Σ heads·queries·keys)
  out_matrix<B, T> context;    // (rows, inner)
};

/// Allocates a tape in the scratch. `scores`: Σ heads·queries·keys.
template <class T, class B>
attention_tape<B, T> take_attention_tape(B& b, t5_config const& c, index_t rows, index_t projections, index_t scores) {
  return {take<T>(b, rows, projections * c.attention_width()), take<T>(b, scores),
          take<T>(b, rows, c.attention_width())};
}

/// The inputs of self-attention: views into the merged projection.
template <class B, class T>
attention_inputs<typename B::memory_space, T> self_attention_inputs(stack_pass<B, T> const& pass,
                                                                    attention_tape<B, T> const& tape, index_t site) {
  index_t const inner = pass.config.attention_width();
  return {.q = tape.projected.column_block(0, inner),
          .k = tape.projected.column_block(inner, inner),
          .v = tape.projected.column_block(2 * inner, inner),
          .query_offsets = pass.rows.offsets,
          .key_offsets = pass.rows.offsets,
          .heads = pass.config.heads,
          .bias = pass.bias.by_distance,
          .zero_distance = pass.bias.zero_distance,
          .causal = pass.causal,
          .drop = pass.drop(site + site_weights),
          .plan = pass.attention};
}

/// Self-attention, from point `from` of the stream to point `to`.
template <class B, class T, class Layer>
void self_attention_forward(stack_pass<B, T> const& pass, Layer const& w, index_t site, stream_point<B, T> const& from,
                            attention_tape<B, T> const& tape, stream_point<B, T> const& to) {
  B& b = pass.backend;
  nn::linear<T>(b, from.normed, w.qkv, tape.projected);
  nn::attention<T>(b, self_attention_inputs(pass, tape, site), tape.weights, tape.context);
  nn::linear<T>(b, tape.context, w.output, to.stream);
  add_and_norm(pass, from, to);
}

/// The gradients of self-attention; see the top of this file.
template <class B, class T, class Layer, class Gradients>
void self_attention_backward(stack_pass<B, T> const& pass, Layer const& w, Gradients const& g, index_t site,
                             stream_point<B, T> const& from, attention_tape<B, T> const& tape, out_matrix<B, T> dout,
                             out_matrix<B, T> dstream) {
  B& b = pass.backend;
  index_t const rows = dout.rows(), inner = pass.config.attention_width();
  scratch_scope<B> const scope(b.scratch());
  auto const dcontext = take<T>(b, rows, inner);
  auto const dprojected = take<T>(b, rows, 3 * inner);
  nn::linear_weight_gradient<T>(b, tape.context, dout, g.output);
  nn::linear_input_gradient<T>(b, dout, w.output, dcontext);
  nn::attention_gradient<T>(b, self_attention_inputs(pass, tape, site), tape.weights, dcontext,
                            {.dq = dprojected.column_block(0, inner),
                             .dk = dprojected.column_block(inner, inner),
                             .dv = dprojected.column_block(2 * inner, inner),
                             .dbias = pass.bias_gradient});
  nn::linear_weight_gradient<T>(b, from.normed, dprojected, g.qkv);
  nn::linear_input_gradient<T>(b, dprojected, w.qkv, dout);
  add_and_norm_gradient(pass, from, dout, dstream, g.attention_norm);
}

// ---- cross-attention -----------------------------------------------------------------------------------------------

/// The keys and values of one decoder layer's cross-attention, and their rows.
template <class M, class B>
struct cross_memory {
  M k, v;  ///< (encoder rows, inner)
  packed_rows<B> rows;
  in_vector<B, typename M::value_type> packed_keys = {};    ///< see attention_inputs
  attention_plan<typename B::memory_space> attention = {};  ///< of the decoder's rows and these
};

/// The inputs of cross-attention.
template <class B, class T, class M>
attention_inputs<typename B::memory_space, T> cross_attention_inputs(stack_pass<B, T> const& pass,
                                                                     cross_memory<M, B> const& memory,
                                                                     attention_tape<B, T> const& tape, index_t site) {
  return {.q = tape.projected,
          .k = memory.k,
          .v = memory.v,
          .query_offsets = pass.rows.offsets,
          .key_offsets = memory.rows.offsets,
          .heads = pass.config.heads,
          .drop = pass.drop(site + site_weights),
          .packed_keys = memory.packed_keys,
          .plan = memory.attention};
}

/// Cross-attention, from point `from` of the stream to point `to`.
template <class B, class T, class Layer, class M>
void cross_attention_forward(stack_pass<B, T> const& pass, Layer const& w, cross_memory<M, B> const& memory,
                             index_t site, stream_point<B, T> const& from, attention_tape<B, T> const& tape,
                             stream_point<B, T> const& to) {
  B& b = pass.backend;
  nn::linear<T>(b, from.normed, w.cross_query, tape.projected);
  nn::attention<T>(b, cross_attention_inputs(pass, memory, tape, site), tape.weights, tape.context);
  nn::linear<T>(b, tape.context, w.cross_output, to.stream);
  add_and_norm(pass, from, to);
}

/// The gradients of cross-attention; see the top of this file. dmemory.k and dmemory.v are overwritten.
template <class B, class T, class Layer, class Gradients, class M>
void cross_attention_backward(stack_pass<B, T> const& pass, Layer const& w, Gradients const& g,
                              cross_memory<M, B> const& memory, cross_memory<out_matrix<B, T>, B> const& dmemory,
                              index_t site, stream_point<B, T> const& from, attention_tape<B, T> const& tape,
                              out_matrix<B, T> dout, out_matrix<B, T> dstream) {
  B& b = pass.backend;
  index_t const rows = dout.rows(), inner = pass.config.attention_width();
  scratch_scope<B> const scope(b.scratch());
  auto const dcontext = take<T>(b, rows, inner);
  auto const dq = take<T>(b, rows, inner);
  nn::linear_weight_gradient<T>(b, tape.context, dout, g.cross_output);
  nn::linear_input_gradient<T>(b, dout, w.cross_output, dcontext);
  nn::attention_gradient<T>(b, cross_attention_inputs(pass, memory, tape, site), tape.weights, dcontext,
                            {.dq = dq, .dk = dmemory.k, .dv = dmemory.v});
  nn::linear_weight_gradient<T>(b, from.normed, dq, g.cross_query);
  nn::linear_input_gradient<T>(b, dq, w.cross_query, dout);
  add_and_norm_gradient(pass, from, dout, dstream, g.cross_norm);
}

// ---- feed-forward --------------------------------------------------------------------------------------------------

/// Activations of a feed-forward sublayer.
template <class B, class T>
struct feed_forward_tape {
  out_matrix<B, T> gates;   // (rows, 2·ff), with gated activations only
  out_matrix<B, T> hidden;  // (rows, ff) after activation and dropout
};

/// Allocates a tape in the scratch.
template <class T, class B>
feed_forward_tape<B, T> take_feed_forward_tape(B& b, t5_config const& c, index_t rows) {
  auto const gated = c.activation == nn::activation::gated_gelu;
  return {take<T>(b, gated ? rows : 0, 2 * c.inner_width), take<T>(b, rows, c.inner_width)};
}

/// The feed-forward sublayer, from point `from` of the stream to point `to`.
template <class B, class T, class Layer>
void feed_forward_forward(stack_pass<B, T> const& pass, Layer const& w, index_t site, stream_point<B, T> const& from,
                          feed_forward_tape<B, T> const& tape, stream_point<B, T> const& to) {
  static_assert(nn::ActivationOps<B, T>,
                "this backend has no activations for this scalar; add them in backend/<name>/activation.hpp");
  B& b = pass.backend;
  if (pass.config.activation == nn::activation::relu) {
    nn::linear_relu<T>(b, pass.drop(site + site_hidden), from.normed, w.expand, tape.hidden);
  } else {
    nn::linear<T>(b, from.normed, w.expand, tape.gates);
    gated_gelu_forward<T>(b, pass.drop(site + site_hidden), tape.gates, tape.hidden);
  }
  nn::linear<T>(b, tape.hidden, w.contract, to.stream);
  add_and_norm(pass, from, to);
}

/// The gradients of the feed-forward sublayer; see the top of this file.
template <class B, class T, class Layer, class Gradients>
void feed_forward_backward(stack_pass<B, T> const& pass, Layer const& w, Gradients const& g, index_t site,
                           stream_point<B, T> const& from, feed_forward_tape<B, T> const& tape, out_matrix<B, T> dout,
                           out_matrix<B, T> dstream) {
  B& b = pass.backend;
  scratch_scope<B> const scope(b.scratch());
  auto const dhidden = take<T>(b, dout.rows(), pass.config.inner_width);
  nn::linear_weight_gradient<T>(b, tape.hidden, dout, g.contract);
  nn::linear_input_gradient<T>(b, dout, w.contract, dhidden);
  auto dexpanded = dhidden;
  if (pass.config.activation == nn::activation::relu) {
    relu_backward<T>(b, pass.drop(site + site_hidden), tape.hidden, dhidden);
  } else {
    dexpanded = take<T>(b, dout.rows(), 2 * pass.config.inner_width);
    gated_gelu_backward<T>(b, pass.drop(site + site_hidden), tape.gates, dhidden, dexpanded);
  }
  nn::linear_weight_gradient<T>(b, from.normed, dexpanded, g.expand);
  nn::linear_input_gradient<T>(b, dexpanded, w.expand, dout);
  add_and_norm_gradient(pass, from, dout, dstream, g.feed_forward_norm);
}

}  // namespace mql4grec::detail
