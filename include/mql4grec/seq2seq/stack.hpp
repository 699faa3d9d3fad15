#pragma once
// The encoder and the decoder as a whole, for training: forward passes that fill tapes, and their backward passes. A
// backward pass must follow the forward pass with the same tape within one scratch scope. Dropout sites are numbered
// over both stacks, so changing their order changes results.
#include <functional>

#include "mql4grec/nn/cross_entropy.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/seq2seq/micro_batch.hpp"
#include "mql4grec/seq2seq/relative_position.hpp"

namespace mql4grec::seq2seq {

/// Where a backward pass adds the gradient of the parameters, and the factor that it multiplies it by.
template <class T, MemorySpace S>
struct gradient_target {
  t5_weights<T, S> const& sum;  ///< scale · gradient is added here
  double scale = 1;             ///< 1 / (target tokens of the whole batch) gives the gradient of the mean loss
  /// Called during the backward pass when this pass adds nothing more to the matrices from an entry on: the gradients
  /// become final from the last decoder layer down to the first encoder layer. null: nobody wants to know.
  std::function<void(T const* first)> const* when_final = nullptr;

  /// Calls when_final for this matrix and those after it.
  void report(view<T, S, 2> const& first) const {
    if (when_final != nullptr) (*when_final)(first.data);
  }
};

}  // namespace mql4grec::seq2seq

namespace mql4grec::seq2seq::detail {

/// The buckets of all distances up to a length, in a backend's memory. Computed again only for sequences that are
/// longer than any before; the addresses change then.
template <class B>
class bucket_table {
 public:
  explicit bucket_table(attention_direction direction) : direction_(direction) {}

  /// The buckets of the distances 1 − longest … longest − 1.
  in_vector<B, index_t> of(B& b, t5_config const& c, index_t longest) {
    index_t const wanted = std::max<index_t>(1, longest);
    if (wanted > longest_) {
      longest_ = std::max(wanted, 2 * longest_);
      buckets_ = b.template allocate<index_t>(2 * longest_ - 1);
      fill(buckets_.view_all(), [&](host_vector_view<index_t> buckets) { distance_buckets(direction_, c, buckets); });
    }
    return std::as_const(buckets_).view_all().part(longest_ - wanted, 2 * wanted - 1);
  }

 private:
  attention_direction direction_;
  index_t longest_ = 0;
  buffer<index_t, typename B::memory_space> buckets_;
};

/// Memory in the scratch for the bias of all distances, without a gradient. relative_bias_forward() computes it.
template <class T, class B>
position_bias<B, T> take_bias(B& b, t5_config const& c, in_vector<B, index_t> buckets) {
  static_assert(nn::RelativeBiasOps<B, T>,
                "this backend has no relative_bias for this scalar; add it in backend/<name>/relative_bias.hpp");
  index_t const distances = buckets.size();
  return {.buckets = buckets, .values = take<T>(b, c.heads, distances), .gradient = {}, .zero_distance = distances / 2};
}

/// Computes the bias of all distances from the parameters `table` (buckets, heads), and sets its gradient to zero.
template <class T, class B>
position_bias<B, T> relative_bias(B& b, t5_config const& c, in_matrix<B, T> table, in_vector<B, index_t> buckets) {
  auto bias = take_bias<T>(b, c, buckets);
  bias.gradient = take<T>(b, c.heads, buckets.size());
  relative_bias_forward<T>(b, table, buckets, bias.values);
  fill<T>(b, bias.gradient.flat(), T{});
  return bias;
}

/// The context of one training pass through the model, forward or backward.
template <class B, class T>
struct model_pass {
  B& backend;
  t5_config const& config;
  t5_weights<T const, typename B::memory_space> const& weights;
  nn::dropout_plan dropout = {};
};

/// The context of one stack's sublayers. `tape` is the stack's, with rows, bias and attention plan.
template <class B, class T, class Tape>
stack_pass<B, T> stack_pass_of(model_pass<B, T> const& model, Tape const& tape) {
  return {.backend = model.backend,
          .config = model.config,
          .dropout = model.dropout,
          .rows = tape.rows,
          .direction = tape.direction,
          .bias = tape.bias,
          .self_attention = tape.self_attention};
}

// Dropout sites: the encoder's and the decoder's embedding and final norm, then four for each sublayer.
enum : index_t {
  site_encoder_embedding = 0,
  site_encoder_end = 1,
  site_decoder_embedding = 2,
  site_decoder_end = 3,
  first_sublayer_site = 4
};

/// The first dropout site of an encoder sublayer; sublayer 0 is self-attention, 1 feed-forward.
inline index_t encoder_site(index_t layer, index_t sublayer) {
  return first_sublayer_site + sites_per_sublayer * (2 * layer + sublayer);
}
/// The first dropout site of a decoder sublayer; sublayer 0 is self-attention, 1 cross-attention, 2 feed-forward.
inline index_t decoder_site(t5_config const& c, index_t layer, index_t sublayer) {
  return encoder_site(c.encoder_layers, 0) + sites_per_sublayer * (3 * layer + sublayer);
}

/// The gain of the norm before a layer; after the last layer, that of the stack's final norm.
template <class Layers, class Gain>
Gain norm_before(Layers const& layers, index_t layer, Gain end) {
  return layer < std::ssize(layers) ? Gain(layers[to_size(layer)].attention_norm) : end;
}

/// The input of a stack: embeds the tokens and computes their norm.
template <class B, class T>
void enter_stack(stack_pass<B, T> const& pass, in_matrix<B, T> embedding, in_vector<B, token_t> tokens,
                 stream_point<B, T> const& at) {
  B& b = pass.backend;
  nn::embedding<T>(b, embedding, tokens, at.stream);
  dropout_apply<T>(b, pass.drop(at.site), at.stream);
  nn::rms_norm<T>(b, {at.stream, at.gain}, pass.config.epsilon, at.normed, at.inv_rms);
}

/// The start of a stack's backward pass. Replaces gradient.output, the gradient of the stack's result, by the gradient
/// of the last sublayer's output; overwrites gradient.stream. `site` is the dropout site of the result.
template <class B, class T>
void enter_stack_backward(stack_pass<B, T> const& pass, index_t site, stream_point<B, T> const& end,
                          stream_gradient<B, T> const& gradient, out_vector<B, T> dgain) {
  B& b = pass.backend;
  dropout_apply<T>(b, pass.drop(site), gradient.output);
  nn::rms_norm_gradient<T>(b, {end.stream, end.gain}, end.inv_rms, gradient.output, {gradient.stream, dgain});
  dropout_copy<T>(b, pass.drop(end.site), gradient.stream, gradient.output);
}

// ---- encoder -------------------------------------------------------------------------------------------------------

/// Inputs and activations of the encoder.
template <class B, class T>
struct encoder_tape {
  struct layer {
    attention_tape<B, T> attention;
    feed_forward_tape<B, T> feed_forward;
  };
  static constexpr auto direction = attention_direction::bidirectional;

  in_vector<B, token_t> tokens;
  packed_rows<B> rows;
  bucket_table<B> buckets{direction};
  position_bias<B, T> bias;
  attention_plan<typename B::memory_space> self_attention = {};
  std::vector<layer> layers;
  stream_point<B, T> end;  // end.normed is the encoder's result, with dropout
};

/// Runs the encoder on packed tokens; the result is tape.end.normed (rows, d).
template <class B, class T>
void encoder_forward(model_pass<B, T> const& model, in_vector<B, token_t> tokens, packed_rows<B> const& rows,
                     encoder_tape<B, T>& tape) {
  auto const& [b, c, w, plan] = model;
  tape.tokens = tokens;
  tape.rows = rows;
  tape.bias = relative_bias<T>(b, c, w.encoder_bias, tape.buckets.of(b, c, rows.longest));
  tape.self_attention = nn::make_attention_plan(b, {rows.offsets, rows.offsets, c.heads, rows.rows},
                                                attention_passes::forward_and_backward);
  auto const pass = stack_pass_of(model, tape);

  tape.end = take_point(pass).before(norm_before(w.encoder, 0, w.encoder_norm), site_encoder_embedding);
  enter_stack<B, T>(pass, w.embedding, tokens, tape.end);
  tape.layers.resize(to_size(c.encoder_layers));
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    auto& layer = tape.layers[to_size(l)];
    auto const& weights = w.encoder[to_size(l)];
    index_t const attention = encoder_site(l, 0), feed_forward = encoder_site(l, 1);
    auto const middle = take_point(pass).before(weights.feed_forward_norm, attention + site_residual);
    layer.attention = {tape.end, take_attention_activations(pass, 3, c.heads * rows.pairs), attention};
    layer.feed_forward = {middle, take_feed_forward_activations(pass), feed_forward};
    tape.end = take_point(pass).before(norm_before(w.encoder, l + 1, w.encoder_norm), feed_forward + site_residual);
    self_attention_forward(pass, weights, layer.attention, middle);
    feed_forward_forward(pass, weights, layer.feed_forward, tape.end);
  }
  dropout_apply<T>(b, pass.drop(site_encoder_end), tape.end.normed);
}

/// Adds the gradients of the encoder's parameters to target.sum. dout (rows, d), the gradient of the encoder's result,
/// is overwritten.
template <class B, class T>
void encoder_backward(model_pass<B, T> const& model, encoder_tape<B, T> const& tape, out_matrix<B, T> dout,
                      gradient_target<T, typename B::memory_space> const& target) {
  auto const& [b, c, w, plan] = model;
  auto const& g = target.sum;
  auto const pass = stack_pass_of(model, tape);
  stream_gradient<B, T> const gradient{.output = dout, .stream = take<T>(b, tape.rows.rows, c.model_width)};
  enter_stack_backward(pass, site_encoder_end, tape.end, gradient, g.encoder_norm);
  for (auto l = to_size(c.encoder_layers); l-- > 0;) {
    layer_with_gradient<B, T> const parameters{.weights = w.encoder[l], .gradient = g.encoder[l]};
    feed_forward_backward(pass, parameters, tape.layers[l].feed_forward, gradient);
    self_attention_backward(pass, parameters, tape.layers[l].attention, gradient);
    target.report(g.encoder[l].qkv);
  }
  nn::embedding_gradient<T>(b, tape.tokens, dout, g.embedding);
  relative_bias_backward<T>(b, tape.bias.buckets, tape.bias.gradient, g.encoder_bias);
}

// ---- decoder -------------------------------------------------------------------------------------------------------

/// Inputs and activations of the decoder.
template <class B, class T>
struct decoder_tape {
  struct layer {
    attention_tape<B, T> self, cross;
    feed_forward_tape<B, T> feed_forward;
  };
  static constexpr auto direction = attention_direction::causal;

  in_vector<B, token_t> tokens;
  packed_rows<B> rows, memory_rows;  // of the targets and of the encoder's result
  in_matrix<B, T> key_value;         // (encoder rows, layers·2·inner) of the cross-attention of all layers
  bucket_table<B> buckets{direction};
  position_bias<B, T> bias;
  attention_plan<typename B::memory_space> self_attention = {}, cross_attention = {};
  std::vector<layer> layers;
  stream_point<B, T> end;  // end.normed is the decoder's result, with dropout
};

/// The keys and values of one layer, as views of those of all layers; in a backward pass also their gradients,
/// dkey_value (encoder rows, layers·2·inner).
template <class B, class T>
cross_memory<B, T> cross_memory_of(t5_config const& c, decoder_tape<B, T> const& tape, index_t layer,
                                   out_matrix<B, T> dkey_value = {}) {
  index_t const inner = c.attention_width(), k = 2 * layer * inner, v = k + inner;
  cross_memory<B, T> memory{.k = tape.key_value.column_block(k, inner),
                            .v = tape.key_value.column_block(v, inner),
                            .rows = tape.memory_rows,
                            .cross_attention = tape.cross_attention};
  if (dkey_value.rows() > 0) {
    memory.dk = dkey_value.column_block(k, inner);
    memory.dv = dkey_value.column_block(v, inner);
  }
  return memory;
}

/// Runs the decoder with teacher forcing; the result is tape.end.normed (rows, d). key_value: (encoder rows,
/// layers·2·inner).
template <class B, class T>
void decoder_forward(model_pass<B, T> const& model, token_block<B> const& block, in_matrix<B, T> key_value,
                     decoder_tape<B, T>& tape) {
  auto const& [b, c, w, plan] = model;
  auto const& rows = block.target_rows;
  tape.tokens = block.decoder_inputs;
  tape.rows = rows;
  tape.memory_rows = block.input_rows;
  tape.key_value = key_value;
  tape.bias = relative_bias<T>(b, c, w.decoder_bias, tape.buckets.of(b, c, rows.longest));
  tape.self_attention = nn::make_attention_plan(b, {rows.offsets, rows.offsets, c.heads, rows.rows},
                                                attention_passes::forward_and_backward);
  tape.cross_attention = nn::make_attention_plan(b, {rows.offsets, block.input_rows.offsets, c.heads, rows.rows},
                                                 attention_passes::forward_and_backward);
  auto const pass = stack_pass_of(model, tape);

  tape.end = take_point(pass).before(norm_before(w.decoder, 0, w.decoder_norm), site_decoder_embedding);
  enter_stack<B, T>(pass, w.embedding, tape.tokens, tape.end);
  tape.layers.resize(to_size(c.decoder_layers));
  for (index_t l = 0; l < c.decoder_layers; ++l) {
    auto& layer = tape.layers[to_size(l)];
    auto const& weights = w.decoder[to_size(l)];
    index_t const self = decoder_site(c, l, 0), cross = decoder_site(c, l, 1), feed_forward = decoder_site(c, l, 2);
    auto const second = take_point(pass).before(weights.cross_norm, self + site_residual);
    auto const third = take_point(pass).before(weights.feed_forward_norm, cross + site_residual);
    layer.self = {tape.end, take_attention_activations(pass, 3, c.heads * rows.pairs), self};
    layer.cross = {second, take_attention_activations(pass, 1, c.heads * block.cross_pairs), cross};
    layer.feed_forward = {third, take_feed_forward_activations(pass), feed_forward};
    tape.end = take_point(pass).before(norm_before(w.decoder, l + 1, w.decoder_norm), feed_forward + site_residual);
    self_attention_forward(pass, weights, layer.self, second);
    cross_attention_forward(pass, weights, cross_memory_of(c, tape, l), layer.cross, third);
    feed_forward_forward(pass, weights, layer.feed_forward, tape.end);
  }
  dropout_apply<T>(b, pass.drop(site_decoder_end), tape.end.normed);
}

/// Adds the gradients of the decoder's parameters to target.sum. dout (rows, d), the gradient of the decoder's result,
/// is overwritten; dkey_value (encoder rows, layers·2·inner), the gradient of tape.key_value, is written.
template <class B, class T>
void decoder_backward(model_pass<B, T> const& model, decoder_tape<B, T> const& tape, out_matrix<B, T> dout,
                      out_matrix<B, T> dkey_value, gradient_target<T, typename B::memory_space> const& target) {
  auto const& [b, c, w, plan] = model;
  auto const& g = target.sum;
  auto const pass = stack_pass_of(model, tape);
  stream_gradient<B, T> const gradient{.output = dout, .stream = take<T>(b, tape.rows.rows, c.model_width)};
  enter_stack_backward(pass, site_decoder_end, tape.end, gradient, g.decoder_norm);
  for (index_t l = c.decoder_layers; l-- > 0;) {
    auto const at = to_size(l);
    auto const& layer = tape.layers[at];
    layer_with_gradient<B, T> const parameters{.weights = w.decoder[at], .gradient = g.decoder[at]};
    feed_forward_backward(pass, parameters, layer.feed_forward, gradient);
    cross_attention_backward(pass, parameters, cross_memory_of(c, tape, l, dkey_value), layer.cross, gradient);
    self_attention_backward(pass, parameters, layer.self, gradient);
    target.report(g.decoder[at].qkv);
  }
  nn::embedding_gradient<T>(b, tape.tokens, dout, g.embedding);
  relative_bias_backward<T>(b, tape.bias.buckets, tape.bias.gradient, g.decoder_bias);
}

}  // namespace mql4grec::seq2seq::detail
