#pragma once
// The encoder and the decoder as a whole, for training: forward passes that fill tapes, and their backward passes. A
// backward pass must follow the forward pass with the same tape within one scratch scope. Dropout sites are numbered
// over both stacks, so changing their order changes results.
#include "mql4grec/nn/cross_entropy.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/seq2seq/micro_batch.hpp"
#include "mql4grec/seq2seq/relative_position.hpp"

namespace mql4grec::detail {

/// The buckets of the distances 1 − longest … longest − 1, in the scratch.
template <class B>
in_vector<B, index_t> take_buckets(B& b, t5_config const& c, index_t longest, attention_direction way) {
  auto const write = [&](host_vector_view<index_t> buckets) { distance_buckets(way, c, buckets); };
  return device_copy<index_t, B>(b, std::max<index_t>(1, 2 * longest - 1), write).view_all();
}

/// The buckets of all distances up to a length, in a backend's memory. Computed again only for sequences that are
/// longer than any before; the addresses change then.
template <class B>
class bucket_table {
 public:
  explicit bucket_table(attention_direction way) : way_(way) {}

  /// The buckets of the distances 1 − longest … longest − 1.
  in_vector<B, index_t> of(B& b, t5_config const& c, index_t longest) {
    index_t const wanted = std::max<index_t>(1, longest);
    if (wanted > longest_) {
      longest_ = std::max(wanted, 2 * longest_);
      buckets_ = b.template allocate<index_t>(2 * longest_ - 1);
      fill(buckets_.view_all(), [&](host_vector_view<index_t> buckets) { distance_buckets(way_, c, buckets); });
    }
    return std::as_const(buckets_).view_all().part(longest_ - wanted, 2 * wanted - 1);
  }

 private:
  attention_direction way_;
  index_t longest_ = 0;
  buffer<index_t, typename B::memory_space> buckets_;
};

/// The position bias of a micro-batch: the distances' buckets, the bias and, in training, its gradient.
template <class B, class T>
struct bias_tape {
  in_vector<B, index_t> bucket_of;  // (distances)
  out_matrix<B, T> bias, gradient;  // (heads, distances)
  index_t zero_distance = 0;
  attention_plan<typename B::memory_space> attention = {};  // of self-attention
};

/// Computes the bias of all distances from the parameters `table` (buckets, heads), and sets its gradient to zero.
template <class T, class B>
bias_tape<B, T> relative_bias(B& b, t5_config const& c, in_matrix<B, T> table, in_vector<B, index_t> buckets) {
  static_assert(nn::RelativeBiasOps<B, T>,
                "this backend has no relative_bias for this scalar; add it in backend/<name>/relative_bias.hpp");
  index_t const distances = buckets.size();
  bias_tape<B, T> tape{buckets, take<T>(b, c.heads, distances), take<T>(b, c.heads, distances), distances / 2};
  relative_bias_forward<T>(b, table, buckets, tape.bias);
  fill<T>(b, tape.gradient.flat(), T{});
  return tape;
}

/// The shared values of a pass.
template <class B, class T>
stack_pass<B, T> make_pass(B& b, t5_config const& c, nn::dropout_plan const& plan, packed_rows<B> const& rows,
                           bias_tape<B, T> const& bias, bool causal) {
  return {.backend = b,
          .config = c,
          .plan = plan,
          .rows = rows,
          .causal = causal,
          .bias = {bias.bias, bias.zero_distance},
          .bias_gradient = bias.gradient,
          .attention = bias.attention};
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
  nn::rms_norm<T>(b, at.stream, at.gain, pass.config.epsilon, at.normed, at.inv_rms);
}

/// The start of a stack's backward pass. Turns dout, the gradient of the stack's result, into the gradient of the last
/// sublayer's output; overwrites dstream.
template <class B, class T>
void enter_stack_backward(stack_pass<B, T> const& pass, index_t site, stream_point<B, T> const& end,
                          out_matrix<B, T> dout, out_matrix<B, T> dstream, out_vector<B, T> dgain) {
  B& b = pass.backend;
  dropout_apply<T>(b, pass.drop(site), dout);
  nn::rms_norm_gradient<T>(b, end.stream, end.gain, end.inv_rms, dout, dstream, dgain);
  dropout_copy<T>(b, pass.drop(end.site), dstream, dout);
}

// ---- encoder -------------------------------------------------------------------------------------------------------

/// Activations of the encoder.
template <class B, class T>
struct encoder_tape {
  struct layer {
    stream_point<B, T> first, second;  // before attention and before the feed-forward sublayer
    attention_tape<B, T> attention;
    feed_forward_tape<B, T> feed_forward;
  };
  std::vector<layer> layers;
  bucket_table<B> buckets{attention_direction::bidirectional};
  bias_tape<B, T> bias;
  stream_point<B, T> end;  // end.normed is the encoder's result, with dropout
};

/// Runs the encoder on packed tokens; the result is tape.end.normed (rows, d).
template <class B, class T>
void encoder_forward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                     nn::dropout_plan const& plan, in_vector<B, token_t> tokens, packed_rows<B> const& rows,
                     encoder_tape<B, T>& tape) {
  index_t const scores = c.heads * rows.pairs;
  tape.bias = relative_bias<T>(b, c, w.encoder_bias, tape.buckets.of(b, c, rows.longest));
  tape.bias.attention = nn::make_attention_plan(b, rows.offsets, rows.offsets, c.heads, rows.rows, true);
  auto const pass = make_pass(b, c, plan, rows, tape.bias, false);

  tape.end = take_point(pass).before(norm_before(w.encoder, 0, w.encoder_norm), site_encoder_embedding);
  enter_stack<B, T>(pass, w.embedding, tokens, tape.end);
  tape.layers.resize(to_size(c.encoder_layers));
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    auto& layer = tape.layers[to_size(l)];
    auto const& weights = w.encoder[to_size(l)];
    index_t const attention = encoder_site(l, 0), feed_forward = encoder_site(l, 1);
    layer = {tape.end, take_point(pass).before(weights.feed_forward_norm, attention + site_residual),
             take_attention_tape<T>(b, c, rows.rows, 3, scores), take_feed_forward_tape<T>(b, c, rows.rows)};
    tape.end = take_point(pass).before(norm_before(w.encoder, l + 1, w.encoder_norm), feed_forward + site_residual);
    self_attention_forward<B, T>(pass, weights, attention, layer.first, layer.attention, layer.second);
    feed_forward_forward<B, T>(pass, weights, feed_forward, layer.second, layer.feed_forward, tape.end);
  }
  dropout_apply<T>(b, pass.drop(site_encoder_end), tape.end.normed);
}

/// Accumulates the gradients of the encoder's parameters in g. dout (rows, d), the gradient of the encoder's result, is
/// overwritten.
template <class B, class T>
void encoder_backward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                      t5_weights<T, typename B::memory_space> const& g, nn::dropout_plan const& plan,
                      in_vector<B, token_t> tokens, packed_rows<B> const& rows, encoder_tape<B, T> const& tape,
                      out_matrix<B, T> dout) {
  auto const pass = make_pass(b, c, plan, rows, tape.bias, false);
  auto const dstream = take<T>(b, rows.rows, c.model_width);
  enter_stack_backward<B, T>(pass, site_encoder_end, tape.end, dout, dstream, g.encoder_norm);
  for (index_t l = c.encoder_layers; l-- > 0;) {
    auto const at = to_size(l);
    auto const& layer = tape.layers[at];
    feed_forward_backward<B, T>(pass, w.encoder[at], g.encoder[at], encoder_site(l, 1), layer.second,
                                layer.feed_forward, dout, dstream);
    self_attention_backward<B, T>(pass, w.encoder[at], g.encoder[at], encoder_site(l, 0), layer.first, layer.attention,
                                  dout, dstream);
  }
  nn::embedding_gradient<T>(b, tokens, dout, g.embedding);
  relative_bias_backward<T>(b, tape.bias.bucket_of, tape.bias.gradient, g.encoder_bias);
}

// ---- decoder -------------------------------------------------------------------------------------------------------

/// Activations of the decoder.
template <class B, class T>
struct decoder_tape {
  struct layer {
    stream_point<B, T> first, second, third;  // before self-attention, cross-attention and feed-forward
    attention_tape<B, T> self, cross;
    feed_forward_tape<B, T> feed_forward;
  };
  std::vector<layer> layers;
  bucket_table<B> buckets{attention_direction::causal};
  bias_tape<B, T> bias;
  attention_plan<typename B::memory_space> cross_attention = {};
  stream_point<B, T> end;
};

/// The keys and values of one layer, as views of the product of all layers (rows, layers·2·inner).
template <class B, class M>
cross_memory<M, B> cross_memory_of(t5_config const& c, M all, packed_rows<B> const& rows, index_t layer,
                                   attention_plan<typename B::memory_space> const& attention = {}) {
  index_t const inner = c.attention_width();
  return {all.column_block(layer * 2 * inner, inner),
          all.column_block((layer * 2 + 1) * inner, inner),
          rows,
          {},
          attention};
}

/// Runs the decoder with teacher forcing; the result is tape.end.normed (rows, d). key_value: (encoder rows,
/// layers·2·inner).
template <class B, class T>
void decoder_forward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                     nn::dropout_plan const& plan, token_block<B> const& block, in_matrix<B, T> key_value,
                     decoder_tape<B, T>& tape) {
  auto const& rows = block.target_rows;
  index_t const self_scores = c.heads * rows.pairs, cross_scores = c.heads * block.cross_pairs;
  tape.bias = relative_bias<T>(b, c, w.decoder_bias, tape.buckets.of(b, c, rows.longest));
  tape.bias.attention = nn::make_attention_plan(b, rows.offsets, rows.offsets, c.heads, rows.rows, true);
  tape.cross_attention = nn::make_attention_plan(b, rows.offsets, block.input_rows.offsets, c.heads, rows.rows, true);
  auto const pass = make_pass(b, c, plan, rows, tape.bias, true);

  tape.end = take_point(pass).before(norm_before(w.decoder, 0, w.decoder_norm), site_decoder_embedding);
  enter_stack<B, T>(pass, w.embedding, block.decoder_inputs, tape.end);
  tape.layers.resize(to_size(c.decoder_layers));
  for (index_t l = 0; l < c.decoder_layers; ++l) {
    auto& layer = tape.layers[to_size(l)];
    auto const& weights = w.decoder[to_size(l)];
    index_t const self = decoder_site(c, l, 0), cross = decoder_site(c, l, 1), feed_forward = decoder_site(c, l, 2);
    layer = {tape.end,
             take_point(pass).before(weights.cross_norm, self + site_residual),
             take_point(pass).before(weights.feed_forward_norm, cross + site_residual),
             take_attention_tape<T>(b, c, rows.rows, 3, self_scores),
             take_attention_tape<T>(b, c, rows.rows, 1, cross_scores),
             take_feed_forward_tape<T>(b, c, rows.rows)};
    tape.end = take_point(pass).before(norm_before(w.decoder, l + 1, w.decoder_norm), feed_forward + site_residual);
    self_attention_forward<B, T>(pass, weights, self, layer.first, layer.self, layer.second);
    cross_attention_forward<B, T>(pass, weights,
                                  cross_memory_of<B>(c, key_value, block.input_rows, l, tape.cross_attention), cross,
                                  layer.second, layer.cross, layer.third);
    feed_forward_forward<B, T>(pass, weights, feed_forward, layer.third, layer.feed_forward, tape.end);
  }
  dropout_apply<T>(b, pass.drop(site_decoder_end), tape.end.normed);
}

/// Accumulates the gradients of the decoder's parameters in g. dout (rows, d) is overwritten, and so is dkey_value
/// (encoder rows, layers·2·inner).
template <class B, class T>
void decoder_backward(B& b, t5_config const& c, t5_weights<T const, typename B::memory_space> const& w,
                      t5_weights<T, typename B::memory_space> const& g, nn::dropout_plan const& plan,
                      token_block<B> const& block, in_matrix<B, T> key_value, decoder_tape<B, T> const& tape,
                      out_matrix<B, T> dout, out_matrix<B, T> dkey_value) {
  auto const pass = make_pass(b, c, plan, block.target_rows, tape.bias, true);
  auto const dstream = take<T>(b, block.target_rows.rows, c.model_width);
  enter_stack_backward<B, T>(pass, site_decoder_end, tape.end, dout, dstream, g.decoder_norm);
  for (index_t l = c.decoder_layers; l-- > 0;) {
    auto const at = to_size(l);
    auto const& layer = tape.layers[at];
    feed_forward_backward<B, T>(pass, w.decoder[at], g.decoder[at], decoder_site(c, l, 2), layer.third,
                                layer.feed_forward, dout, dstream);
    cross_attention_backward<B, T>(pass, w.decoder[at], g.decoder[at],
                                   cross_memory_of<B>(c, key_value, block.input_rows, l, tape.cross_attention),
                                   cross_memory_of<B>(c, dkey_value, block.input_rows, l), decoder_site(c, l, 1),
                                   layer.second, layer.cross, dout, dstream);
    self_attention_backward<B, T>(pass, w.decoder[at], g.decoder[at], decoder_site(c, l, 0), layer.first, layer.self,
                                  dout, dstream);
  }
  nn::embedding_gradient<T>(b, block.decoder_inputs, dout, g.embedding);
  relative_bias_backward<T>(b, tape.bias.bucket_of, tape.bias.gradient, g.decoder_bias);
}

}  // namespace mql4grec::detail
