#pragma once
// The three sublayers of a T5 layer (self-attention, cross-attention, feed-forward) as pairs of forward and backward
// functions.
//
// - Forward: reads norm(x) of the residual stream x and writes the next point of the stream, x + dropout(f(norm(x))),
//   and its norm.
// - Backward: replaces `gradient.output`, the gradient of this sublayer's output f, by the gradient of the previous
//   sublayer's output, and accumulates `gradient.stream`, the gradient of the residual stream.
// - Both take the same tape: the sublayer's input, its activations and its dropout sites. Their memory is the worker's
//   scratch, so a tape is valid until the scope ends in which it was allocated.
#include "mql4grec/nn/attention.hpp"
#include "mql4grec/nn/dropout.hpp"
#include "mql4grec/nn/feed_forward.hpp"
#include "mql4grec/nn/linear.hpp"
#include "mql4grec/nn/residual_norm.hpp"
#include "mql4grec/seq2seq/relative_position.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec::seq2seq::detail {

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
template <class B, class T>
struct position_bias {
  in_vector<B, index_t> buckets = {};  ///< (distances) the bucket of each distance
  out_matrix<B, T> values = {};        ///< (heads, distances)
  out_matrix<B, T> gradient = {};      ///< (heads, distances) accumulated by a backward pass
  index_t zero_distance = 0;           ///< the column of distance 0
};

/// The values that all sublayers of a stack share during one pass, forward or backward.
template <class B, class T>
struct stack_pass {
  B& backend;
  t5_config const& config;
  nn::dropout_plan dropout = {};
  packed_rows<B> rows;
  attention_direction direction = attention_direction::bidirectional;
  position_bias<B, T> bias;
  attention_plan<typename B::memory_space> self_attention = {};
  bool keeps_weights = true;  ///< see attention_inputs

  mql4grec::dropout drop(index_t site) const { return dropout.at(site, rows.first_row); }
};

/// The weights of a layer and the views that their gradients are added to.
template <class B, class T>
struct layer_with_gradient {
  typename t5_weights<T const, typename B::memory_space>::layer const& weights;
  typename t5_weights<T, typename B::memory_space>::layer const& gradient;
};

/// The two gradients that a backward pass carries from sublayer to sublayer; both are updated in place.
template <class B, class T>
struct stream_gradient {
  out_matrix<B, T> output;  ///< (rows, d) of the current sublayer's output
  out_matrix<B, T> stream;  ///< (rows, d) of the residual stream
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
  nn::residual_norm<T>(pass.backend, pass.drop(to.site), pass.config.epsilon,
                       {from.stream, to.gain, to.stream, to.normed, to.inv_rms});
}

/// Replaces gradient.output, the gradient of at.normed, by the gradient of what was added to the stream last.
template <class B, class T>
void add_and_norm_gradient(stack_pass<B, T> const& pass, stream_point<B, T> const& at,
                           stream_gradient<B, T> const& gradient, out_vector<B, T> dgain) {
  nn::residual_norm_gradient<T>(pass.backend, pass.drop(at.site), {at.stream, at.gain}, at.inv_rms,
                                {gradient.output, gradient.stream, dgain});
}

/// The operands of a sublayer that its forward and its backward pass share. The forward pass reads `input` and fills
/// `activations`; the backward pass reads both.
template <class B, class T, class Activations>
struct sublayer_tape {
  stream_point<B, T> input;
  Activations activations;
  index_t site = 0;  ///< the sublayer's first dropout site
};

// ---- self-attention ------------------------------------------------------------------------------------------------

/// Activations of an attention sublayer.
template <class B, class T>
struct attention_activations {
  out_matrix<B, T> projected;  // (rows, 3·inner): q, k, v; in cross-attention (rows, inner): q
  out_vector<B, T> weights;    // (Σ heads·queries·keys)
  out_matrix<B, T> context;    // (rows, inner)
};
/// The tape of an attention sublayer.
template <class B, class T>
using attention_tape = sublayer_tape<B, T, attention_activations<B, T>>;

/// Allocates the activations in the scratch. `projections`: 3 in self-attention, 1 in cross-attention. `scores`: Σ
/// heads·queries·keys.
template <class B, class T>
attention_activations<B, T> take_attention_activations(stack_pass<B, T> const& pass, index_t projections,
                                                       index_t scores) {
  index_t const rows = pass.rows.rows, inner = pass.config.attention_width();
  return {take<T>(pass.backend, rows, projections * inner), take<T>(pass.backend, scores),
          take<T>(pass.backend, rows, inner)};
}

/// The inputs of self-attention: views into the merged projection.
template <class B, class T>
attention_inputs<typename B::memory_space, T> self_attention_inputs(stack_pass<B, T> const& pass,
                                                                    attention_tape<B, T> const& tape) {
  index_t const inner = pass.config.attention_width();
  auto const projected = tape.activations.projected;
  return {.q = projected.column_block(0, inner),
          .k = projected.column_block(inner, inner),
          .v = projected.column_block(2 * inner, inner),
          .query_offsets = pass.rows.offsets,
          .key_offsets = pass.rows.offsets,
          .heads = pass.config.heads,
          .bias = pass.bias.values,
          .zero_distance = pass.bias.zero_distance,
          .causal = pass.direction == attention_direction::causal,
          .drop = pass.drop(tape.site + site_weights),
          .plan = pass.self_attention,
          .keeps_weights = pass.keeps_weights};
}

/// Self-attention, from tape.input to `output`.
template <class B, class T, class Layer>
void self_attention_forward(stack_pass<B, T> const& pass, Layer const& weights, attention_tape<B, T> const& tape,
                            stream_point<B, T> const& output) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  nn::linear<T>(b, tape.input.normed, weights.qkv, a.projected);
  nn::attention<T>(b, self_attention_inputs(pass, tape), a.weights, a.context);
  nn::linear<T>(b, a.context, weights.output, output.stream);
  add_and_norm(pass, tape.input, output);
}

/// The gradients of self-attention; see the top of this file.
template <class B, class T>
void self_attention_backward(stack_pass<B, T> const& pass, layer_with_gradient<B, T> const& layer,
                             attention_tape<B, T> const& tape, stream_gradient<B, T> const& gradient) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  auto const& [w, g] = layer;
  auto const dout = gradient.output;
  index_t const rows = dout.rows(), inner = pass.config.attention_width();
  scratch_scope<B> const scope(b.scratch());
  auto const dcontext = take<T>(b, rows, inner);
  auto const dprojected = take<T>(b, rows, 3 * inner);
  nn::linear_weight_gradient<T>(b, a.context, dout, g.output);
  nn::linear_input_gradient<T>(b, dout, w.output, dcontext);
  nn::attention_gradient<T>(b, self_attention_inputs(pass, tape), a.weights, dcontext,
                            {.dq = dprojected.column_block(0, inner),
                             .dk = dprojected.column_block(inner, inner),
                             .dv = dprojected.column_block(2 * inner, inner),
                             .dbias = pass.bias.gradient});
  nn::linear_weight_gradient<T>(b, tape.input.normed, dprojected, g.qkv);
  nn::linear_input_gradient<T>(b, dprojected, w.qkv, dout);
  add_and_norm_gradient(pass, tape.input, gradient, g.attention_norm);
}

// ---- cross-attention -----------------------------------------------------------------------------------------------

/// The keys and values of one decoder layer's cross-attention, and their rows.
template <class B, class T>
struct cross_memory {
  in_matrix<B, T> k, v;               ///< (encoder rows, inner)
  out_matrix<B, T> dk = {}, dv = {};  ///< like k and v; overwritten by the backward pass, otherwise empty
  packed_rows<B> rows = {};
  in_vector<B, T> packed_keys = {};                               ///< see attention_inputs
  attention_plan<typename B::memory_space> cross_attention = {};  ///< of the decoder's rows and these
};

/// The inputs of cross-attention.
template <class B, class T>
attention_inputs<typename B::memory_space, T> cross_attention_inputs(stack_pass<B, T> const& pass,
                                                                     cross_memory<B, T> const& memory,
                                                                     attention_tape<B, T> const& tape) {
  return {.q = tape.activations.projected,
          .k = memory.k,
          .v = memory.v,
          .query_offsets = pass.rows.offsets,
          .key_offsets = memory.rows.offsets,
          .heads = pass.config.heads,
          .drop = pass.drop(tape.site + site_weights),
          .packed_keys = memory.packed_keys,
          .plan = memory.cross_attention,
          .keeps_weights = pass.keeps_weights};
}

/// Cross-attention, from tape.input to `output`.
template <class B, class T, class Layer>
void cross_attention_forward(stack_pass<B, T> const& pass, Layer const& weights, cross_memory<B, T> const& memory,
                             attention_tape<B, T> const& tape, stream_point<B, T> const& output) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  nn::linear<T>(b, tape.input.normed, weights.cross_query, a.projected);
  nn::attention<T>(b, cross_attention_inputs(pass, memory, tape), a.weights, a.context);
  nn::linear<T>(b, a.context, weights.cross_output, output.stream);
  add_and_norm(pass, tape.input, output);
}

/// The gradients of cross-attention; see the top of this file.
template <class B, class T>
void cross_attention_backward(stack_pass<B, T> const& pass, layer_with_gradient<B, T> const& layer,
                              cross_memory<B, T> const& memory, attention_tape<B, T> const& tape,
                              stream_gradient<B, T> const& gradient) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  auto const& [w, g] = layer;
  auto const dout = gradient.output;
  index_t const rows = dout.rows(), inner = pass.config.attention_width();
  scratch_scope<B> const scope(b.scratch());
  auto const dcontext = take<T>(b, rows, inner);
  auto const dq = take<T>(b, rows, inner);
  nn::linear_weight_gradient<T>(b, a.context, dout, g.cross_output);
  nn::linear_input_gradient<T>(b, dout, w.cross_output, dcontext);
  nn::attention_gradient<T>(b, cross_attention_inputs(pass, memory, tape), a.weights, dcontext,
                            {.dq = dq, .dk = memory.dk, .dv = memory.dv});
  nn::linear_weight_gradient<T>(b, tape.input.normed, dq, g.cross_query);
  nn::linear_input_gradient<T>(b, dq, w.cross_query, dout);
  add_and_norm_gradient(pass, tape.input, gradient, g.cross_norm);
}

// ---- feed-forward --------------------------------------------------------------------------------------------------

/// Activations of a feed-forward sublayer.
template <class B, class T>
struct feed_forward_activations {
  out_matrix<B, T> gates;   // (rows, 2·ff), with gated activations only
  out_matrix<B, T> hidden;  // (rows, ff) after activation and dropout
};
/// The tape of a feed-forward sublayer.
template <class B, class T>
using feed_forward_tape = sublayer_tape<B, T, feed_forward_activations<B, T>>;

/// Allocates the activations in the scratch.
template <class B, class T>
feed_forward_activations<B, T> take_feed_forward_activations(stack_pass<B, T> const& pass) {
  index_t const rows = pass.rows.rows, width = pass.config.inner_width;
  bool const gated = pass.config.activation == nn::activation::gated_gelu;
  return {take<T>(pass.backend, gated ? rows : 0, 2 * width), take<T>(pass.backend, rows, width)};
}

/// The feed-forward sublayer, from tape.input to `output`.
template <class B, class T, class Layer>
void feed_forward_forward(stack_pass<B, T> const& pass, Layer const& weights, feed_forward_tape<B, T> const& tape,
                          stream_point<B, T> const& output) {
  static_assert(nn::ActivationOps<B, T>,
                "this backend has no activations for this scalar; add them in backend/<name>/activation.hpp");
  B& b = pass.backend;
  auto const& a = tape.activations;
  if (pass.config.activation == nn::activation::relu) {
    nn::linear_relu<T>(b, pass.drop(tape.site + site_hidden), tape.input.normed, weights.expand, a.hidden);
  } else {
    nn::linear<T>(b, tape.input.normed, weights.expand, a.gates);
    gated_gelu_forward<T>(b, pass.drop(tape.site + site_hidden), a.gates, a.hidden);
  }
  nn::linear<T>(b, a.hidden, weights.contract, output.stream);
  add_and_norm(pass, tape.input, output);
}

/// The gradients of the feed-forward sublayer; see the top of this file.
template <class B, class T>
void feed_forward_backward(stack_pass<B, T> const& pass, layer_with_gradient<B, T> const& layer,
                           feed_forward_tape<B, T> const& tape, stream_gradient<B, T> const& gradient) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  auto const& [w, g] = layer;
  auto const dout = gradient.output;
  scratch_scope<B> const scope(b.scratch());
  auto const dhidden = take<T>(b, dout.rows(), pass.config.inner_width);
  nn::linear_weight_gradient<T>(b, a.hidden, dout, g.contract);
  nn::linear_input_gradient<T>(b, dout, w.contract, dhidden);
  auto dexpanded = dhidden;
  if (pass.config.activation == nn::activation::relu) {
    relu_backward<T>(b, pass.drop(tape.site + site_hidden), a.hidden, dhidden);
  } else {
    dexpanded = take<T>(b, dout.rows(), 2 * pass.config.inner_width);
    gated_gelu_backward<T>(b, pass.drop(tape.site + site_hidden), a.gates, dhidden, dexpanded);
  }
  nn::linear_weight_gradient<T>(b, tape.input.normed, dexpanded, g.expand);
  nn::linear_input_gradient<T>(b, dexpanded, w.expand, dout);
  add_and_norm_gradient(pass, tape.input, gradient, g.feed_forward_norm);
}

}  // namespace mql4grec::seq2seq::detail
