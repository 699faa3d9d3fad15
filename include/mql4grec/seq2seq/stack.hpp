#pragma once
// The encoder and the decoder as a whole, for training: forward passes that keep tapes and their backward passes.
#include "mql4grec/nn/cross_entropy.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/seq2seq/block.hpp"
#include "mql4grec/seq2seq/relative_position.hpp"

namespace mql4grec::detail {

/// Distances of a block's longest sequence: their buckets, their bias and, in training, the bias' gradient.
template <class B, class T>
struct bias_tape {
  in_vector<B, index_t> bucket_of;  // (distances)
  out_matrix<B, T> bias, gradient;  // (heads, distances)
  index_t zero_distance = 0;
};

template <class T, class B>
bias_tape<B, T> relative_bias(B& b, t5_config const& c, in_matrix<B, T> table, index_t longest, direction way) {
  static_assert(nn::RelativeBiasOps<B, T>, "this backend has no relative_bias for this scalar; add it in backend/<name>/relative_bias.hpp");
  index_t const distances = std::max<index_t>(1, 2 * longest - 1);
  staged<index_t, B> bucket_of(b, distances);
  distance_buckets(way, c, bucket_of.values());
  auto const buckets = bucket_of.publish(b);
  bias_tape<B, T> tape{buckets, b.scratch().template take<T>(c.heads, distances), b.scratch().template take<T>(c.heads, distances),
                       longest - 1};
  relative_bias_forward<T>(b, table, buckets, tape.bias);
  fill<T>(b, tape.gradient.flat(), T{});
  return tape;
}

template <class B, class T>
stack_pass<B, T> make_pass(B& b, t5_config const& c, nn::dropout_plan const& plan, packed_rows<B> const& rows, bias_tape<B, T> const& bias,
                           bool causal) {
  return {.backend = b, .config = c, .plan = plan, .rows = rows, .causal = causal,
          .bias = {bias.bias, bias.zero_distance}, .bias_gradient = bias.gradient};
}

// Dropout sites: the encoder's and the decoder's embedding and final norm, then four for each sublayer.
enum : index_t { site_encoder_embedding = 0, site_encoder_end = 1, site_decoder_embedding = 2, site_decoder_end = 3, first_sublayer_site = 4 };

inline index_t encoder_site(index_t layer, index_t sublayer) { return first_sublayer_site + sites_per_sublayer * (2 * layer + sublayer); }
inline index_t decoder_site(t5_config const& c, index_t layer, index_t sublayer) {
  return encoder_site(c.encoder_layers, 0) + sites_per_sublayer * (3 * layer + sublayer);
}

// ---- encoder -------------------------------------------------------------------------------------------------------

template <class B, class T>
struct encoder_tape {
  struct layer {
    out_matrix<B, T> stream, middle;  // (rows, d) in front of attention and of the feed-forward sublayer
    attention_tape<B, T> attention;
    feed_forward_tape<B, T> feed_forward;
  };
  std::vector<layer> layers;
  bias_tape<B, T> bias;
  out_matrix<B, T> last;   // (rows, d) the stream behind the last layer
  norm_tape<B, T> end;     // end.normed is the encoder's result, dropout included
};

template <class B, class T>
void encoder_forward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w, nn::dropout_plan const& plan,
                     in_vector<B, token_t> tokens, packed_rows<B> const& rows, encoder_tape<B, T>& tape) {
  index_t const d = c.model_width, scores = c.heads * rows.pairs;
  auto const take = [&] { return b.scratch().template take<T>(rows.rows, d); };
  tape.bias = relative_bias<T>(b, c, w.encoder_bias, rows.longest, direction::both_ways);
  auto const pass = make_pass(b, c, plan, rows, tape.bias, false);

  auto stream = take();
  nn::embedding<T>(b, w.embedding, tokens, stream);
  dropout_apply<T>(b, pass.drop(site_encoder_embedding), stream);
  tape.layers.resize(static_cast<std::size_t>(c.encoder_layers));
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    auto& layer = tape.layers[static_cast<std::size_t>(l)];
    auto const& weights = w.encoder[static_cast<std::size_t>(l)];
    layer = {stream, take(), take_attention_tape<T>(b, c, rows.rows, 3, scores), take_feed_forward_tape<T>(b, c, rows.rows)};
    self_attention_forward<B, T>(pass, weights, encoder_site(l, 0), layer.stream, layer.attention, layer.middle);
    stream = take();
    feed_forward_forward<B, T>(pass, weights, encoder_site(l, 1), layer.middle, layer.feed_forward, stream);
  }
  tape.last = stream;
  tape.end = take_norm_tape<T>(b, rows.rows, d);
  nn::rms_norm<T>(b, stream, w.encoder_norm, c.epsilon, tape.end.normed, tape.end.inv_rms);
  dropout_apply<T>(b, pass.drop(site_encoder_end), tape.end.normed);
}

/// dencoded (rows, d), the gradient of the encoder's result, is used up.
template <class B, class T>
void encoder_backward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                      t5_weights<T, typename B::memory_space> const& g, nn::dropout_plan const& plan, in_vector<B, token_t> tokens,
                      packed_rows<B> const& rows, encoder_tape<B, T> const& tape, out_matrix<B, T> dencoded) {
  auto const pass = make_pass(b, c, plan, rows, tape.bias, false);
  auto const dstream = b.scratch().template take<T>(rows.rows, c.model_width);
  dropout_apply<T>(b, pass.drop(site_encoder_end), dencoded);
  nn::rms_norm_gradient<T>(b, tape.last, w.encoder_norm, tape.end.inv_rms, dencoded, dstream, g.encoder_norm);
  for (index_t l = c.encoder_layers; l-- > 0;) {
    auto const at = static_cast<std::size_t>(l);
    auto const& layer = tape.layers[at];
    feed_forward_backward<B, T>(pass, w.encoder[at], g.encoder[at], encoder_site(l, 1), layer.middle, layer.feed_forward, dstream);
    self_attention_backward<B, T>(pass, w.encoder[at], g.encoder[at], encoder_site(l, 0), layer.stream, layer.attention, dstream);
  }
  dropout_apply<T>(b, pass.drop(site_encoder_embedding), dstream);
  nn::embedding_gradient<T>(b, tokens, dstream, g.embedding);
  relative_bias_backward<T>(b, tape.bias.bucket_of, tape.bias.gradient, g.encoder_bias);
}

// ---- decoder -------------------------------------------------------------------------------------------------------

template <class B, class T>
struct decoder_tape {
  struct layer {
    out_matrix<B, T> stream, second, third;  // (rows, d) in front of self-attention, cross-attention, feed-forward
    attention_tape<B, T> self, cross;
    feed_forward_tape<B, T> feed_forward;
  };
  std::vector<layer> layers;
  bias_tape<B, T> bias;
  out_matrix<B, T> last;
  norm_tape<B, T> end;
};

/// Keys and values of one layer inside the product for all layers (rows, layers·2·inner).
template <class B, class M>
cross_memory<M, B> cross_memory_of(t5_config const& c, M all, packed_rows<B> const& rows, index_t layer) {
  index_t const inner = c.attention_width();
  return {all.column_block(layer * 2 * inner, inner), all.column_block((layer * 2 + 1) * inner, inner), rows, {}};
}

template <class B, class T>
void decoder_forward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w, nn::dropout_plan const& plan,
                     token_block<B> const& block, in_matrix<B, T> key_value, decoder_tape<B, T>& tape) {
  auto const& rows = block.target_rows;
  index_t const d = c.model_width, self_scores = c.heads * rows.pairs, cross_scores = c.heads * block.cross_pairs;
  auto const take = [&] { return b.scratch().template take<T>(rows.rows, d); };
  tape.bias = relative_bias<T>(b, c, w.decoder_bias, rows.longest, direction::backwards_only);
  auto const pass = make_pass(b, c, plan, rows, tape.bias, true);

  auto stream = take();
  nn::embedding<T>(b, w.embedding, block.decoder_inputs, stream);
  dropout_apply<T>(b, pass.drop(site_decoder_embedding), stream);
  tape.layers.resize(static_cast<std::size_t>(c.decoder_layers));
  for (index_t l = 0; l < c.decoder_layers; ++l) {
    auto& layer = tape.layers[static_cast<std::size_t>(l)];
    auto const& weights = w.decoder[static_cast<std::size_t>(l)];
    layer = {stream, take(), take(), take_attention_tape<T>(b, c, rows.rows, 3, self_scores),
             take_attention_tape<T>(b, c, rows.rows, 1, cross_scores), take_feed_forward_tape<T>(b, c, rows.rows)};
    self_attention_forward<B, T>(pass, weights, decoder_site(c, l, 0), layer.stream, layer.self, layer.second);
    cross_attention_forward<B, T>(pass, weights, cross_memory_of<B>(c, key_value, block.input_rows, l), decoder_site(c, l, 1),
                                  layer.second, layer.cross, layer.third);
    stream = take();
    feed_forward_forward<B, T>(pass, weights, decoder_site(c, l, 2), layer.third, layer.feed_forward, stream);
  }
  tape.last = stream;
  tape.end = take_norm_tape<T>(b, rows.rows, d);
  nn::rms_norm<T>(b, stream, w.decoder_norm, c.epsilon, tape.end.normed, tape.end.inv_rms);
  dropout_apply<T>(b, pass.drop(site_decoder_end), tape.end.normed);
}

/// dhidden (rows, d) is used up; dkey_value (encoder rows, layers·2·inner) is overwritten.
template <class B, class T>
void decoder_backward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                      t5_weights<T, typename B::memory_space> const& g, nn::dropout_plan const& plan, token_block<B> const& block,
                      in_matrix<B, T> key_value, decoder_tape<B, T> const& tape, out_matrix<B, T> dhidden, out_matrix<B, T> dkey_value) {
  auto const pass = make_pass(b, c, plan, block.target_rows, tape.bias, true);
  auto const dstream = b.scratch().template take<T>(block.target_rows.rows, c.model_width);
  dropout_apply<T>(b, pass.drop(site_decoder_end), dhidden);
  nn::rms_norm_gradient<T>(b, tape.last, w.decoder_norm, tape.end.inv_rms, dhidden, dstream, g.decoder_norm);
  for (index_t l = c.decoder_layers; l-- > 0;) {
    auto const at = static_cast<std::size_t>(l);
    auto const& layer = tape.layers[at];
    feed_forward_backward<B, T>(pass, w.decoder[at], g.decoder[at], decoder_site(c, l, 2), layer.third, layer.feed_forward, dstream);
    cross_attention_backward<B, T>(pass, w.decoder[at], g.decoder[at], cross_memory_of<B>(c, key_value, block.input_rows, l),
                                   cross_memory_of<B>(c, dkey_value, block.input_rows, l), decoder_site(c, l, 1), layer.second,
                                   layer.cross, dstream);
    self_attention_backward<B, T>(pass, w.decoder[at], g.decoder[at], decoder_site(c, l, 0), layer.stream, layer.self, dstream);
  }
  dropout_apply<T>(b, pass.drop(site_decoder_embedding), dstream);
  nn::embedding_gradient<T>(b, block.decoder_inputs, dstream, g.embedding);
  relative_bias_backward<T>(b, tape.bias.bucket_of, tape.bias.gradient, g.decoder_bias);
}

}  // namespace mql4grec::detail
