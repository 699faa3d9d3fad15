#pragma once
// The shape of a T5. The members of t5_config are named in plain words; error messages and config.json use
// transformers' names.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/nn/feed_forward.hpp"

namespace mql4grec::seq2seq {

/// The shape of a T5 (Raffel et al., JMLR 2020). The defaults are those of MQL4GRec (ICLR 2025), section 4.1. After
/// each member: its name in transformers' T5Config.
struct t5_config {
  index_t vocabulary = 2068;                         ///< vocab_size: tokens, including <pad> and </s>
  index_t model_width = 128;                         ///< d_model
  index_t head_width = 64;                           ///< d_kv
  index_t heads = 6;                                 ///< num_heads
  index_t inner_width = 1024;                        ///< d_ff
  index_t encoder_layers = 4, decoder_layers = 4;    ///< num_layers, num_decoder_layers
  index_t buckets = 32;                              ///< relative_attention_num_buckets
  index_t max_distance = 128;                        ///< relative_attention_max_distance
  nn::activation activation = nn::activation::relu;  ///< feed_forward_proj: relu or gated-gelu
  bool tied = true;  ///< tie_word_embeddings: the output matrix is the embedding, and its input is scaled by d^−½
  double dropout = 0.1;             ///< dropout_rate, in [0, 1); training uses training_options::dropout
  double epsilon = 1e-6;            ///< layer_norm_epsilon: added to the mean square before the root
  double initializer_factor = 1.0;  ///< initializer_factor: scales the standard deviations of initialize()
  token_t pad{0};                   ///< pad_token_id; also the decoder's first input
  token_t end{1};                   ///< eos_token_id; the last token of every sequence

  /// Width of q, k and v: heads · head_width.
  index_t attention_width() const { return heads * head_width; }
  /// The factor that the last hidden state is multiplied by before the output matrix: d^−½ for a tied model, otherwise
  /// 1.
  double output_scale() const { return tied ? 1.0 / std::sqrt(static_cast<double>(model_width)) : 1.0; }

  bool operator==(t5_config const&) const = default;
};

/// Throws error if a member is out of range; the message contains the name in config.json.
inline void validate(t5_config const& c) {
  auto const at_least = [](index_t value, index_t least, char const* name) {
    expects(value >= least && value <= (index_t{1} << 24), "t5: ", name, " is ", value, ", expected at least ", least,
            " and at most 2^24");
  };
  at_least(c.vocabulary, 2, "vocab_size");
  at_least(c.model_width, 1, "d_model");
  at_least(c.head_width, 1, "d_kv");
  at_least(c.heads, 1, "num_heads");
  at_least(c.inner_width, 1, "d_ff");
  at_least(c.encoder_layers, 1, "num_layers");
  at_least(c.decoder_layers, 1, "num_decoder_layers");
  at_least(c.buckets, 4, "relative_attention_num_buckets");
  expects(c.buckets % 4 == 0, "t5: relative_attention_num_buckets is ", c.buckets, ", expected a multiple of 4");
  at_least(c.max_distance, c.buckets / 2 + 1, "relative_attention_max_distance");
  expects(c.dropout >= 0 && c.dropout < 1, "t5: dropout_rate is ", c.dropout, ", expected 0 ≤ rate < 1");
  expects(c.epsilon > 0, "t5: layer_norm_epsilon is ", c.epsilon, ", expected more than 0");
  auto const in_vocabulary = [&](token_t t, char const* name) {
    expects(index(t) >= 0 && index(t) < c.vocabulary, "t5: ", name, " is ", index(t), ", expected below vocab_size ",
            c.vocabulary);
  };
  in_vocabulary(c.pad, "pad_token_id");
  in_vocabulary(c.end, "eos_token_id");
}

/// A size of models, relative to the paper's.
struct model_size {
  std::string_view name;  ///< for command lines
  double widths = 1;      ///< factor of model_width, inner_width and heads
  index_t layers = 4;     ///< of the encoder, and of the decoder
};

/// The sizes that have names. Their parameters with the paper's vocabulary: 4.72, 0.18, 1.25 and 27.3 million.
inline constexpr std::array<model_size, 4> model_sizes = {
    {{"whole", 1, 4}, {"quarter", 0.25, 2}, {"half", 0.5, 4}, {"double", 2, 6}}};

/// The size of a name; throws error if there is none.
inline model_size const& model_size_named(std::string_view name) {
  for (auto const& size : model_sizes)
    if (size.name == name) return size;
  raise("there is no model size '", name, "'");
}

/// The shape with other widths and layers. No width becomes less than 1.
inline t5_config resized(t5_config shape, model_size const& size) {
  for (auto* const width : {&shape.model_width, &shape.inner_width, &shape.heads})
    *width = std::max<index_t>(1, static_cast<index_t>(static_cast<double>(*width) * size.widths));
  shape.encoder_layers = shape.decoder_layers = size.layers;
  return shape;
}

}  // namespace mql4grec::seq2seq
