#pragma once
// BERT (Devlin et al. 2019), for inference: learned positions, token type 0, GELU by the error function, LayerNorm
// after each sum. Parameters have the names of transformers' BertModel.
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/embed/encoder/text_encoder.hpp"

namespace mql4grec::embed {

/// Views into a flat buffer with the layout of layout_of(bert_config).
template <class T, MemorySpace S>
struct bert_weights {
  view<T, S, 2> tokens;                     ///< (V, d)
  view<T, S, 2> positions;                  ///< (most tokens, d)
  view<T, S, 2> types;                      ///< (types, d); row 0 is added to every token
  norm_weights<T, S> embedding_norm;        ///< after the sum of the three
  std::vector<layer_weights<T, S>> layers;  ///< first to last
};

namespace detail {
inline layer_names bert_layer(bert_config const& c, index_t l) {
  std::string const layer = "encoder.layer." + std::to_string(l) + ".", attention = layer + "attention.";
  return {.qkv = {{attention + "self.query", c.width},
                  {attention + "self.key", c.width},
                  {attention + "self.value", c.width}},
          .expand = {{layer + "intermediate.dense", c.inner_width}},
          .output = attention + "output.dense",
          .contract = layer + "output.dense",
          .attention_norm = attention + "output.LayerNorm",
          .feed_forward_norm = layer + "output.LayerNorm",
          .width = c.width,
          .context_width = c.width,
          .inner_width = c.inner_width,
          .attention = bias::present,
          .feed_forward = bias::present,
          .norm = bias::present};
}
}  // namespace detail

/// The names and offsets of a BERT's parameters.
[[nodiscard]] inline nn::parameter_layout layout_of(bert_config const& c) {
  nn::parameter_layout layout;
  layout.add_matrix("embeddings.word_embeddings.weight", c.vocabulary, c.width);
  layout.add_matrix("embeddings.position_embeddings.weight", c.positions, c.width);
  layout.add_matrix("embeddings.token_type_embeddings.weight", c.types, c.width);
  detail::add_norm(layout, "embeddings.LayerNorm", c.width, bias::present);
  for (index_t l = 0; l < c.layers; ++l) detail::add_layer(layout, detail::bert_layer(c, l));
  return layout;
}

/// The views of a buffer with the layout of layout_of(c).
template <class T, MemorySpace S>
[[nodiscard]] bert_weights<T, S> views_of(bert_config const& c, detail::named_views<T, S> const& at) {
  bert_weights<T, S> w{.tokens = at.matrix("embeddings.word_embeddings.weight"),
                       .positions = at.matrix("embeddings.position_embeddings.weight"),
                       .types = at.matrix("embeddings.token_type_embeddings.weight"),
                       .embedding_norm = at.norm("embeddings.LayerNorm", bias::present),
                       .layers = {}};
  for (index_t l = 0; l < c.layers; ++l) w.layers.push_back(at.layer(detail::bert_layer(c, l)));
  return w;
}

/// Writes the last hidden state (tokens, d) of packed texts.
template <Backend B, class T>
void encode_texts(B& worker, bert_config const& c, bert_weights<T const, typename B::memory_space> const& w,
                  packed_texts<B> const& texts, out_matrix<B, T> x) {
  transformer<layer_norm, gelu, no_rotation> const p{.norm = {.epsilon = c.epsilon},
                                                     .activation = {},
                                                     .position = {},
                                                     .mask = attention_mask::none,
                                                     .order = norm_order::after,
                                                     .heads = c.heads,
                                                     .key_heads = c.heads,
                                                     .head_width = c.width / c.heads};
  scratch_scope<B> const scope(worker.scratch());
  index_t const rows = texts.sequences.rows;
  auto const sum = take<T>(worker, rows, c.width), positions = take<T>(worker, rows, c.width);
  nn::embedding<T>(worker, w.tokens, texts.tokens, sum);
  bias_forward<T>(worker, w.types.row(0), sum);
  nn::embedding<T>(worker, w.positions, detail::take_positions<token_t>(worker, texts.offsets), positions);
  accumulate<T>(worker, positions.flat(), sum.flat());
  p.norm.template apply<T>(worker, sum, w.embedding_norm, x);
  transform<T>(worker, p, texts.sequences, w.layers, x);
}

/// A BERT on a backend.
template <Backend B, class T>
using bert = text_encoder<B, T, encoder_model<B, T, bert_config, bert_weights>>;

}  // namespace mql4grec::embed
