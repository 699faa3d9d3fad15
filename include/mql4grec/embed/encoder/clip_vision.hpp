#pragma once
// The vision part of CLIP (Radford et al. 2021), for inference: patches, a class token, learned positions, LayerNorm
// before each sublayer, quick GELU; the class token's last state, normed and projected. Parameters have the names of
// transformers' CLIPVisionModelWithProjection, without "vision_model.".
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/embed/encoder/transformer.hpp"
#include "mql4grec/nn/patches.hpp"

namespace mql4grec::embed {

/// Views into a flat buffer with the layout of layout_of(clip_vision_config).
template <class T, MemorySpace S>
struct clip_vision_weights {
  view<T, S, 2> patches;                       ///< (d, channels·patch·patch)
  view<T, S, 1> class_token;                   ///< (d)
  view<T, S, 2> positions;                     ///< (1 + patches, d); the class token's first
  norm_weights<T, S> input_norm, output_norm;  ///< before the first layer; of the class token after the last
  std::vector<layer_weights<T, S>> layers;     ///< first to last
  view<T, S, 2> projection;                    ///< (features, d)
};

namespace detail {
inline layer_names clip_layer(clip_vision_config const& c, index_t l) {
  std::string const layer = "encoder.layers." + std::to_string(l) + ".", attention = layer + "self_attn.";
  return {.qkv = {{attention + "q_proj", c.width}, {attention + "k_proj", c.width}, {attention + "v_proj", c.width}},
          .expand = {{layer + "mlp.fc1", c.inner_width}},
          .output = attention + "out_proj",
          .contract = layer + "mlp.fc2",
          .attention_norm = layer + "layer_norm1",
          .feed_forward_norm = layer + "layer_norm2",
          .width = c.width,
          .context_width = c.width,
          .inner_width = c.inner_width,
          .attention = bias::present,
          .feed_forward = bias::present,
          .norm = bias::present};
}
}  // namespace detail

/// The names and offsets of the parameters of a CLIP's vision part.
[[nodiscard]] inline nn::parameter_layout layout_of(clip_vision_config const& c) {
  nn::parameter_layout layout;
  layout.add_matrix("embeddings.patch_embedding.weight", c.width, c.channels * c.patch * c.patch);
  layout.add_vector("embeddings.class_embedding", c.width);
  layout.add_matrix("embeddings.position_embedding.weight", 1 + c.patches(), c.width);
  detail::add_norm(layout, "pre_layrnorm", c.width, bias::present);  // transformers' spelling
  for (index_t l = 0; l < c.layers; ++l) detail::add_layer(layout, detail::clip_layer(c, l));
  detail::add_norm(layout, "post_layernorm", c.width, bias::present);
  layout.add_matrix("visual_projection.weight", c.projection, c.width);
  return layout;
}

/// The views of a buffer with the layout of layout_of(c).
template <class T, MemorySpace S>
[[nodiscard]] clip_vision_weights<T, S> views_of(clip_vision_config const& c, detail::named_views<T, S> const& at) {
  clip_vision_weights<T, S> w{.patches = at.matrix("embeddings.patch_embedding.weight"),
                              .class_token = at.vector("embeddings.class_embedding"),
                              .positions = at.matrix("embeddings.position_embedding.weight"),
                              .input_norm = at.norm("pre_layrnorm", bias::present),
                              .output_norm = at.norm("post_layernorm", bias::present),
                              .layers = {},
                              .projection = at.matrix("visual_projection.weight")};
  for (index_t l = 0; l < c.layers; ++l) w.layers.push_back(at.layer(detail::clip_layer(c, l)));
  return w;
}

/// The vision part of a CLIP on a backend. Features of a picture: transformers' image_embeds, not normalized.
template <Backend B, class T>
class clip_vision : public encoder_model<B, T, clip_vision_config, clip_vision_weights> {
 public:
  /// What encode() reads.
  using input = image_batch;
  using encoder_model<B, T, clip_vision_config, clip_vision_weights>::encoder_model;

  /// The columns of the features.
  index_t features() const { return this->config().projection; }

  /// Writes the last hidden state (images·(1 + patches), d), contiguous, the class token of each image first. Throws
  /// error for pictures of another size.
  void hidden_states(B& worker, image_batch const& batch, out_matrix<B, T> hidden) const { run(worker, batch, hidden); }

  /// Writes the features (images, projection). Throws error for pictures of another size.
  void encode(B& worker, image_batch const& batch, out_matrix<B, T> out) const {
    auto const& c = this->config();
    index_t const images = batch.size(), rows = 1 + c.patches();
    if (images == 0) return;
    scratch_scope<B> const scope(worker.scratch());
    auto const hidden = take<T>(worker, images * rows, c.width);
    run(worker, batch, hidden);
    auto const classes = take<T>(worker, images, c.width), normed = take<T>(worker, images, c.width);
    auto const write = [&](host_vector_view<token_t> at) {
      for (index_t i = 0; i < images; ++i) at(i) = static_cast<token_t>(i * rows);
    };
    nn::embedding<T>(worker, hidden, device_copy<token_t, B>(worker, images, write).view_all(), classes);
    layer_norm{c.epsilon}.apply<T>(worker, classes, this->weights().output_norm, normed);
    nn::linear<T>(worker, normed, this->weights().projection, out);
  }

 private:
  void run(B& worker, image_batch const& batch, out_matrix<B, T> x) const {
    auto const& c = this->config();
    auto const& w = this->weights();
    index_t const rows = 1 + c.patches();
    transformer<layer_norm, quick_gelu, no_rotation> const p{
        .norm = {.epsilon = c.epsilon},
        .activation = {.exact = c.activation == clip_activation::gelu},
        .position = {},
        .mask = attention_mask::none,
        .order = norm_order::before,
        .heads = c.heads,
        .key_heads = c.heads,
        .head_width = c.width / c.heads};
    expects(batch.pixels.columns() == c.channels * c.image_size * c.image_size, "clip: pictures of ",
            batch.pixels.columns(), " values, expected ", c.channels, " · ", c.image_size, " · ", c.image_size);
    if (batch.size() == 0) return;
    scratch_scope<B> const scope(worker.scratch());
    std::vector<index_t> offsets;
    for (index_t i = 0; i <= batch.size(); ++i) offsets.push_back(i * rows);
    auto const sequences = detail::take_sequences(worker, offsets);
    auto const embedded = take<T>(worker, sequences.rows, c.width);
    embed_patches(worker, batch, embedded);
    add_positions(worker, offsets, embedded);
    p.norm.template apply<T>(worker, embedded, w.input_norm, x);
    transform<T>(worker, p, sequences, w.layers, x);
  }

  /// x (images·(1 + patches), d) = the projected patches; zeros for the class tokens.
  void embed_patches(B& worker, image_batch const& batch, out_matrix<B, T> x) const {
    auto const& c = this->config();
    patch_grid const grid{
        .channels = c.channels, .height = c.image_size, .width = c.image_size, .patch = c.patch, .leading_rows = 1};
    scratch_scope<B> const scope(worker.scratch());
    auto const write = [&](host_vector_view<T> out) {
      for (index_t i = 0, k = 0; i < batch.pixels.rows(); ++i)
        for (index_t j = 0; j < batch.pixels.columns(); ++j, ++k) out(k) = static_cast<T>(batch.pixels(i, j));
    };
    auto const pixels = device_copy<T, B>(worker, batch.pixels.size(), write).view_all();
    auto const patches = take<T>(worker, x.rows(), grid.columns());
    nn::patches<T>(worker, grid, {pixels.data, batch.size(), grid.pixels()}, patches);
    nn::linear<T>(worker, patches, this->weights().patches, x);
  }

  /// Adds the class token and the positions.
  void add_positions(B& worker, std::vector<index_t> const& offsets, out_matrix<B, T> x) const {
    auto const& w = this->weights();
    scratch_scope<B> const scope(worker.scratch());
    auto const table = take<T>(worker, w.positions.rows(), w.positions.columns());
    copy<T>(worker, w.positions.flat(), table.flat());
    bias_forward<T>(worker, w.class_token, table.row_block(0, 1));
    auto const added = take<T>(worker, x.rows(), x.columns());
    nn::embedding<T>(worker, table, detail::take_positions<token_t>(worker, offsets), added);
    accumulate<T>(worker, added.flat(), x.flat());
  }
};

}  // namespace mql4grec::embed
