#pragma once
// LLaMA (Touvron et al. 2023), for inference: rotary positions, grouped queries, SwiGLU, RMSNorm before each sublayer,
// causal. Parameters have the names of transformers' LlamaModel, and q and k its half-rotation layout.
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/embed/encoder/rotary_table.hpp"
#include "mql4grec/embed/encoder/transformer.hpp"

namespace mql4grec::embed {

/// Views into a flat buffer with the layout of layout_of(llama_config).
template <class T, MemorySpace S>
struct llama_weights {
  view<T, S, 2> tokens;                     ///< (V, d)
  std::vector<layer_weights<T, S>> layers;  ///< first to last
  norm_weights<T, S> norm;                  ///< of the last layer's result
};

namespace detail {
inline layer_names llama_layer(llama_config const& c, index_t l) {
  std::string const layer = "layers." + std::to_string(l) + ".", attention = layer + "self_attn.",
                    feed_forward = layer + "mlp.";
  index_t const shared = c.key_heads * c.head_width(), inner = c.heads * c.head_width();
  auto const has = [](bool present) { return present ? bias::present : bias::absent; };
  return {.qkv = {{attention + "q_proj", inner}, {attention + "k_proj", shared}, {attention + "v_proj", shared}},
          .expand = {{feed_forward + "gate_proj", c.inner_width}, {feed_forward + "up_proj", c.inner_width}},
          .output = attention + "o_proj",
          .contract = feed_forward + "down_proj",
          .attention_norm = layer + "input_layernorm",
          .feed_forward_norm = layer + "post_attention_layernorm",
          .width = c.width,
          .context_width = inner,
          .inner_width = c.inner_width,
          .attention = has(c.attention_bias),
          .feed_forward = has(c.feed_forward_bias),
          .norm = bias::absent};
}
}  // namespace detail

/// The names and offsets of a LLaMA's parameters, without the head that predicts tokens.
[[nodiscard]] inline nn::parameter_layout layout_of(llama_config const& c) {
  nn::parameter_layout layout;
  layout.add_matrix("embed_tokens.weight", c.vocabulary, c.width);
  for (index_t l = 0; l < c.layers; ++l) detail::add_layer(layout, detail::llama_layer(c, l));
  detail::add_norm(layout, "norm", c.width, bias::absent);
  return layout;
}

/// The views of a buffer with the layout of layout_of(c).
template <class T, MemorySpace S>
[[nodiscard]] llama_weights<T, S> views_of(llama_config const& c, detail::named_views<T, S> const& at) {
  llama_weights<T, S> w{
      .tokens = at.matrix("embed_tokens.weight"), .layers = {}, .norm = at.norm("norm", bias::absent)};
  for (index_t l = 0; l < c.layers; ++l) w.layers.push_back(at.layer(detail::llama_layer(c, l)));
  return w;
}

/// A LLaMA on a backend. Features of a text: the mean over its tokens of the last hidden state, after the final norm.
template <Backend B, class T>
class llama : public encoder_model<B, T, llama_config, llama_weights> {
 public:
  /// What encode() reads.
  using input = token_batch;
  using encoder_model<B, T, llama_config, llama_weights>::encoder_model;

  /// The columns of the features.
  index_t features() const { return this->config().width; }

  /// Writes the last hidden state (tokens, d), after the final norm. Throws error for tokens outside the vocabulary and
  /// for texts with more tokens than positions.
  void hidden_states(B& worker, token_batch const& batch, out_matrix<B, T> hidden) const {
    scratch_scope<B> const scope(worker.scratch());
    run(worker, batch, take_batch(worker, batch), hidden);
  }

  /// Writes the features (texts, d); zeros for a text without tokens. Throws error as hidden_states().
  void encode(B& worker, token_batch const& batch, out_matrix<B, T> out) const {
    scratch_scope<B> const scope(worker.scratch());
    auto const sequences = take_batch(worker, batch);
    auto const hidden = take<T>(worker, sequences.rows, features());
    run(worker, batch, sequences, hidden);
    nn::mean_of_sequences<T>(worker, hidden, sequences.offsets, out);
  }

 private:
  detail::packed_sequences<B> take_batch(B& worker, token_batch const& batch) const {
    return detail::take_texts(worker, batch, this->config().vocabulary, this->config().positions);
  }

  void run(B& worker, token_batch const& batch, detail::packed_sequences<B> const& sequences,
           out_matrix<B, T> hidden) const {
    auto const& c = this->config();
    auto const& w = this->weights();
    if (sequences.rows == 0) return;
    scratch_scope<B> const scope(worker.scratch());
    transformer<rms_norm, swiglu, rotary<B, T>> const p{
        .norm = {.epsilon = c.epsilon},
        .activation = {},
        .position = {detail::take_rotary_table<T>(worker, c, sequences.longest),
                     detail::take_positions<index_t>(worker, batch.offsets)},
        .mask = attention_mask::causal,
        .order = norm_order::before,
        .heads = c.heads,
        .key_heads = c.key_heads,
        .head_width = c.head_width()};
    auto const x = take<T>(worker, sequences.rows, c.width);
    auto const tokens = device_copy(worker, view_of(std::span(batch.tokens))).view_all();
    nn::embedding<T>(worker, w.tokens, tokens, x);
    transform<T>(worker, p, sequences, w.layers, x);
    p.norm.template apply<T>(worker, x, w.norm, hidden);
  }
};

}  // namespace mql4grec::embed
