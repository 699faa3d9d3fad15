#pragma once
// The sizes of the frozen encoders. Defaults are those of transformers; the names in comments are those of config.json.
#include <cmath>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"
#include "mql4grec/nn/rotary.hpp"

namespace mql4grec::embed {

/// The sizes of a BERT (Devlin et al. 2019).
struct bert_config {
  index_t vocabulary = 30522;  ///< vocab_size
  index_t width = 768;         ///< hidden_size
  index_t layers = 12;         ///< num_hidden_layers
  index_t heads = 12;          ///< num_attention_heads
  index_t inner_width = 3072;  ///< intermediate_size
  index_t positions = 512;     ///< max_position_embeddings: the most tokens of a text
  index_t types = 2;           ///< type_vocab_size; all tokens have type 0
  double epsilon = 1e-12;      ///< layer_norm_eps

  bool operator==(bert_config const&) const = default;
};

/// The sizes of a LLaMA (Touvron et al. 2023), with grouped queries (Ainslie et al. 2023).
struct llama_config {
  index_t vocabulary = 32000;                  ///< vocab_size
  index_t width = 4096;                        ///< hidden_size
  index_t layers = 32;                         ///< num_hidden_layers
  index_t heads = 32;                          ///< num_attention_heads
  index_t key_heads = 32;                      ///< num_key_value_heads
  index_t inner_width = 11008;                 ///< intermediate_size
  index_t positions = 2048;                    ///< max_position_embeddings: the most tokens of a text
  double epsilon = 1e-6;                       ///< rms_norm_eps
  nn::rotary_options rotary = {.width = 128};  ///< head_dim, rope_theta and rope_scaling
  std::vector<float> rotary_divisors;          ///< (head width / 2) of the frequencies; empty: 1. GGUF's rope_freqs
  bool attention_bias = false;                 ///< attention_bias: q, k, v and o have one
  bool feed_forward_bias = false;              ///< mlp_bias

  /// The columns of a head.
  index_t head_width() const { return rotary.width; }
};

/// The activation of a CLIP.
enum class clip_activation { quick_gelu, gelu };

/// The sizes of the vision part of a CLIP (Radford et al. 2021).
struct clip_vision_config {
  index_t width = 768;                                       ///< hidden_size
  index_t layers = 12;                                       ///< num_hidden_layers
  index_t heads = 12;                                        ///< num_attention_heads
  index_t inner_width = 3072;                                ///< intermediate_size
  index_t channels = 3;                                      ///< num_channels
  index_t image_size = 224;                                  ///< image_size: height and width of a picture
  index_t patch = 32;                                        ///< patch_size
  index_t projection = 512;                                  ///< projection_dim: the columns of the features
  double epsilon = 1e-5;                                     ///< layer_norm_eps
  clip_activation activation = clip_activation::quick_gelu;  ///< hidden_act

  /// The number of patches of a picture.
  index_t patches() const { return (image_size / patch) * (image_size / patch); }

  bool operator==(clip_vision_config const&) const = default;
};

namespace detail {
inline void expect_size(index_t value, char const* name) {
  expects(value >= 1 && value <= (index_t{1} << 24), name, " is ", value, ", expected 1 to 2^24");
}
inline void expect_even_heads(index_t width, index_t heads) {
  expect_size(heads, "num_attention_heads");
  expects(width % heads == 0, "hidden_size is ", width, ", expected a multiple of num_attention_heads ", heads);
}
inline void expect_epsilon(double epsilon) {
  expects(epsilon > 0 && epsilon < 1, "the norms' epsilon is ", epsilon, ", expected between 0 and 1");
}
}  // namespace detail

/// Throws error if a member is out of range; the message contains the name in config.json.
inline void validate(bert_config const& c) {
  detail::expect_size(c.vocabulary, "vocab_size");
  detail::expect_size(c.width, "hidden_size");
  detail::expect_size(c.layers, "num_hidden_layers");
  detail::expect_even_heads(c.width, c.heads);
  detail::expect_size(c.inner_width, "intermediate_size");
  detail::expect_size(c.positions, "max_position_embeddings");
  detail::expect_size(c.types, "type_vocab_size");
  detail::expect_epsilon(c.epsilon);
}

/// Throws error if a member is out of range; the message contains the name in config.json.
inline void validate(llama_config const& c) {
  detail::expect_size(c.vocabulary, "vocab_size");
  detail::expect_size(c.width, "hidden_size");
  detail::expect_size(c.layers, "num_hidden_layers");
  detail::expect_size(c.heads, "num_attention_heads");
  detail::expect_size(c.key_heads, "num_key_value_heads");
  expects(c.heads % c.key_heads == 0, "num_attention_heads is ", c.heads,
          ", expected a multiple of num_key_value_heads ", c.key_heads);
  detail::expect_size(c.head_width(), "head_dim");
  expects(c.head_width() % 2 == 0, "head_dim is ", c.head_width(), ", expected an even number");
  expects(c.heads * c.head_width() <= (index_t{1} << 24), "num_attention_heads · head_dim is ", c.heads, " · ",
          c.head_width(), ", expected at most 2^24");
  detail::expect_size(c.inner_width, "intermediate_size");
  detail::expect_size(c.positions, "max_position_embeddings");
  detail::expect_epsilon(c.epsilon);
  (void)nn::rotary_frequencies(c.rotary);  // throws for options without meaning
  expects(c.rotary_divisors.empty() || std::ssize(c.rotary_divisors) == c.head_width() / 2,
          "rotary divisors: ", c.rotary_divisors.size(), ", expected ", c.head_width() / 2);
  for (float const divisor : c.rotary_divisors)
    expects(divisor > 0 && std::isfinite(divisor), "a rotary divisor is ", divisor, ", expected more than 0");
}

/// Throws error if a member is out of range; the message contains the name in config.json.
inline void validate(clip_vision_config const& c) {
  detail::expect_size(c.width, "hidden_size");
  detail::expect_size(c.layers, "num_hidden_layers");
  detail::expect_even_heads(c.width, c.heads);
  detail::expect_size(c.inner_width, "intermediate_size");
  detail::expect_size(c.channels, "num_channels");
  detail::expect_size(c.patch, "patch_size");
  expects(c.image_size >= c.patch && c.image_size <= 16384, "image_size is ", c.image_size,
          ", expected patch_size to 16384");
  expects(c.channels <= 16, "num_channels is ", c.channels, ", expected at most 16");
  detail::expect_size(c.projection, "projection_dim");
  detail::expect_epsilon(c.epsilon);
}

}  // namespace mql4grec::embed
