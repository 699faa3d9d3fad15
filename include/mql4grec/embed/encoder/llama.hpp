#pragma once
// LLaMA (Touvron et al. 2023), for inference: rotary positions, grouped queries, SwiGLU, RMSNorm before each sublayer,
// causal. Parameters have the names of transformers' LlamaModel, and q and k its half-rotation layout.
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/embed/encoder/rotary_table.hpp"
#include "mql4grec/embed/encoder/text_encoder.hpp"

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

/// Writes the last hidden state (tokens, d) of packed texts, after the final norm.
template <Backend B, class T>
void encode_texts(B& worker, llama_config const& c, llama_weights<T const, typename B::memory_space> const& w,
                  packed_texts<B> const& texts, out_matrix<B, T> hidden) {
  scratch_scope<B> const scope(worker.scratch());
  transformer<rms_norm, swiglu, rotary<B, T>> const p{
      .norm = {.epsilon = c.epsilon},
      .activation = {},
      .position = {detail::take_rotary_table<T>(worker, c, texts.sequences.longest),
                   detail::take_positions<index_t>(worker, texts.offsets)},
      .mask = attention_mask::causal,
      .order = norm_order::before,
      .heads = c.heads,
      .key_heads = c.key_heads,
      .head_width = c.head_width()};
  auto const x = take<T>(worker, texts.sequences.rows, c.width);
  nn::embedding<T>(worker, w.tokens, texts.tokens, x);
  transform<T>(worker, p, texts.sequences, w.layers, x);
  p.norm.template apply<T>(worker, x, w.norm, hidden);
}

/// A LLaMA on a backend.
template <Backend B, class T>
using llama = text_encoder<B, T, encoder_model<B, T, llama_config, llama_weights>>;

}  // namespace mql4grec::embed
