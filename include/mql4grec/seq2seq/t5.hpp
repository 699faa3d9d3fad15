#pragma once
// The parameters of a T5: their order in the flat buffer, their names in transformers, and the views that the layers
// use. The order is part of the algorithm: q, k and v of a layer are adjacent, and so are the cross-attention's k and v
// of all decoder layers, so each group is one matrix product. Reordering would change training states, which store the
// flat buffer.
#include <array>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/nn/parameters.hpp"
#include "mql4grec/seq2seq/config.hpp"

namespace mql4grec::seq2seq {

/// Views into a flat buffer with the layout of t5_layout: of parameters (T const) or of their gradients (T). Shapes: d
/// model width, inner = heads · head width, ff inner width, V vocabulary.
template <class T, MemorySpace S>
struct t5_weights {
  /// A view of a matrix.
  using matrix = view<T, S, 2>;
  /// A view of a vector.
  using vector = view<T, S, 1>;

  /// The parameters of one layer.
  struct layer {
    matrix qkv;           ///< (3·inner, d) q, k and v of self-attention
    matrix output;        ///< (d, inner)
    matrix cross_query;   ///< (inner, d), decoder only
    matrix cross_output;  ///< (d, inner), decoder only
    matrix expand;        ///< (branches·ff, d) wi; with a gated activation wi_0 and wi_1
    matrix contract;      ///< (d, ff) wo
    vector attention_norm, cross_norm, feed_forward_norm;  ///< (d) gains; cross_norm in the decoder only
  };

  matrix embedding;                     ///< (V, d)
  matrix output;                        ///< (V, d) the embedding itself if the model is tied
  matrix cross_key_value;               ///< (decoder layers·2·inner, d): k and v of layer 0, of layer 1, …
  matrix encoder_bias, decoder_bias;    ///< (buckets, heads)
  std::vector<layer> encoder, decoder;  ///< layers, first to last
  vector encoder_norm, decoder_norm;    ///< (d) gains of the final norms
};

/// The names and offsets of all parameters. Those with weight decay come first.
[[nodiscard]] inline nn::parameter_layout t5_layout(t5_config const& c) {
  nn::parameter_layout layout;
  index_t const d = c.model_width, inner = c.attention_width();
  auto const matrix = [&](std::string name, index_t rows, index_t columns) {
    layout.add_matrix(name + ".weight", rows, columns);
  };
  auto const block = [](char const* stack, index_t l) {
    return std::string(stack) + ".block." + std::to_string(l) + ".layer.";
  };
  auto const attention = [&](std::string const& self) {
    for (char const* name : {"q", "k", "v"}) matrix(self + name, inner, d);
    matrix(self + "o", d, inner);
  };
  auto const feed_forward = [&](std::string const& dense) {
    if (c.activation == nn::activation::gated_gelu) {
      matrix(dense + "wi_0", c.inner_width, d);
      matrix(dense + "wi_1", c.inner_width, d);
    } else {
      matrix(dense + "wi", c.inner_width, d);
    }
    matrix(dense + "wo", d, c.inner_width);
  };

  matrix("shared", c.vocabulary, d);
  if (!c.tied) matrix("lm_head", c.vocabulary, d);
  matrix("encoder.block.0.layer.0.SelfAttention.relative_attention_bias", c.buckets, c.heads);
  matrix("decoder.block.0.layer.0.SelfAttention.relative_attention_bias", c.buckets, c.heads);
  layout.begin_of_hidden();
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    attention(block("encoder", l) + "0.SelfAttention.");
    feed_forward(block("encoder", l) + "1.DenseReluDense.");
    layout.align();
  }
  for (index_t l = 0; l < c.decoder_layers; ++l)
    for (char const* name : {"k", "v"}) matrix(block("decoder", l) + "1.EncDecAttention." + name, inner, d);
  for (index_t l = 0; l < c.decoder_layers; ++l) {
    layout.align();
    attention(block("decoder", l) + "0.SelfAttention.");
    matrix(block("decoder", l) + "1.EncDecAttention.q", inner, d);
    matrix(block("decoder", l) + "1.EncDecAttention.o", d, inner);
    feed_forward(block("decoder", l) + "2.DenseReluDense.");
  }
  layout.end_of_decayed();
  for (index_t l = 0; l < c.encoder_layers; ++l)
    for (char const* sub : {"0", "1"}) layout.add_vector(block("encoder", l) + sub + ".layer_norm.weight", d);
  layout.add_vector("encoder.final_layer_norm.weight", d);
  for (index_t l = 0; l < c.decoder_layers; ++l)
    for (char const* sub : {"0", "1", "2"}) layout.add_vector(block("decoder", l) + sub + ".layer_norm.weight", d);
  layout.add_vector("decoder.final_layer_norm.weight", d);
  return layout;
}

/// The views of a buffer with the layout of t5_layout(c).
template <class T, MemorySpace S>
[[nodiscard]] t5_weights<T, S> t5_windows(t5_config const& c, nn::parameter_layout const& layout, view<T, S, 1> flat) {
  index_t const d = c.model_width, inner = c.attention_width();
  auto const offset = [&](std::string const& name) { return layout.find(name + ".weight").offset; };
  auto const matrix = [&](std::string const& name, index_t rows, index_t columns) {
    return nn::matrix_at(flat, offset(name), rows, columns);
  };
  auto const vector = [&](std::string const& name) { return flat.part(offset(name), d); };
  std::string const first_branch = c.activation == nn::activation::gated_gelu ? "wi_0" : "wi";
  auto const feed_forward = [&](auto& layer, std::string const& sub) {
    layer.expand = matrix(sub + ".DenseReluDense." + first_branch, nn::branches(c.activation) * c.inner_width, d);
    layer.contract = matrix(sub + ".DenseReluDense.wo", d, c.inner_width);
    layer.feed_forward_norm = vector(sub + ".layer_norm");
  };
  auto const self_attention = [&](auto& layer, std::string const& sub) {
    layer.qkv = matrix(sub + ".SelfAttention.q", 3 * inner, d);
    layer.output = matrix(sub + ".SelfAttention.o", d, inner);
    layer.attention_norm = vector(sub + ".layer_norm");
  };

  t5_weights<T, S> w;
  w.embedding = matrix("shared", c.vocabulary, d);
  w.output = c.tied ? w.embedding : matrix("lm_head", c.vocabulary, d);
  w.encoder_bias = matrix("encoder.block.0.layer.0.SelfAttention.relative_attention_bias", c.buckets, c.heads);
  w.decoder_bias = matrix("decoder.block.0.layer.0.SelfAttention.relative_attention_bias", c.buckets, c.heads);
  w.cross_key_value = matrix("decoder.block.0.layer.1.EncDecAttention.k", c.decoder_layers * 2 * inner, d);
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    auto& layer = w.encoder.emplace_back();
    std::string const block = "encoder.block." + std::to_string(l) + ".layer.";
    self_attention(layer, block + "0");
    feed_forward(layer, block + "1");
  }
  for (index_t l = 0; l < c.decoder_layers; ++l) {
    auto& layer = w.decoder.emplace_back();
    std::string const block = "decoder.block." + std::to_string(l) + ".layer.";
    self_attention(layer, block + "0");
    layer.cross_query = matrix(block + "1.EncDecAttention.q", inner, d);
    layer.cross_output = matrix(block + "1.EncDecAttention.o", d, inner);
    layer.cross_norm = vector(block + "1.layer_norm");
    feed_forward(layer, block + "2");
  }
  w.encoder_norm = vector("encoder.final_layer_norm");
  w.decoder_norm = vector("decoder.final_layer_norm");
  return w;
}

/// The matrices that a pass multiplies by, with the factors of the products.
template <class T, MemorySpace S>
[[nodiscard]] std::vector<plain_weight<S, T>> product_weights(t5_config const& c, t5_weights<T const, S> const& w) {
  std::vector<plain_weight<S, T>> all{{w.output, c.output_scale()}, {w.cross_key_value}};
  for (auto const* stack : {&w.encoder, &w.decoder})
    for (auto const& layer : *stack) {
      // a name, because nvcc 13 can't parse a loop over a braced list here
      std::array const matrices{layer.qkv,          layer.output, layer.cross_query,
                                layer.cross_output, layer.expand, layer.contract};
      for (auto const& matrix : matrices)
        if (matrix.size() > 0) all.push_back({matrix});
    }
  return all;
}

/// A T5 on a backend: configuration and parameters, nothing of training or search. Const members use no locks and no
/// state.
template <Backend B, class T>
class t5 {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Allocates the parameters and sets them to zero; initialize() and read_model() fill them. Throws error if the
  /// configuration is invalid.
  t5(B& backend, t5_config const& config)
      : config_(config),
        layout_(t5_layout((validate(config), config))),
        values_(backend.template allocate<T>(layout_.size())),
        weights_(t5_windows(config_, layout_, view<T const, space, 1>(values_.view_all()))) {}

  /// The configuration.
  t5_config const& config() const { return config_; }
  /// The names, shapes and offsets of the parameters.
  nn::parameter_layout const& layout() const { return layout_; }
  /// All parameters as one vector.
  view<T, space, 1> parameters() { return values_.view_all(); }
  /// All parameters as one vector.
  view<T const, space, 1> parameters() const { return values_.view_all(); }
  /// The parameters as views, by layer.
  t5_weights<T const, space> const& weights() const { return weights_; }

 private:
  t5_config config_;
  nn::parameter_layout layout_;
  buffer<T, space> values_;
  t5_weights<T const, space> weights_;
};

}  // namespace mql4grec::seq2seq
