#pragma once
// A model as a search uses it: no parameter will change any more, so that a backend may keep its matrices in the form
// that it multiplies by fastest.
#include <vector>

#include "mql4grec/nn/linear.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec {

namespace detail {
/// How a backend is opened again for another thread; nothing where it can't be.
template <Backend B>
struct reopening {
  struct options {};
  static options of(B const&) { return {}; }
};
template <ReopenableBackend B>
struct reopening<B> {
  using options = typename B::options;
  static options of(B const& backend) { return backend.worker_options(); }
};
}  // namespace detail

/// Owns its model. Const use is free of locks and of state: any number of threads may search with it.
template <Backend B, class T>
class frozen_t5 {
 public:
  using scalar = T;
  using space = typename B::memory_space;
  using matrix = nn::frozen_weight<B, T>;
  using vector = view<T const, space, 1>;

  // Named as in t5_weights, which see.
  struct encoder_layer {
    matrix qkv, output, expand, contract;
    vector attention_norm, feed_forward_norm;
  };
  struct decoder_layer {
    matrix query, key_value, output, cross_query, cross_key_value, cross_output, expand, contract;
    vector attention_norm, cross_norm, feed_forward_norm;
  };

  frozen_t5(B& backend, t5<B, T> model)
      : worker_(detail::reopening<B>::of(backend)),
        model_(std::move(model)),
        output_(freeze(backend, weights().output, config().output_scale())) {
    for (auto const& w : weights().encoder)
      encoder_.push_back({freeze(backend, w.qkv), freeze(backend, w.output), freeze(backend, w.expand),
                          freeze(backend, w.contract), w.attention_norm, w.feed_forward_norm});
    index_t const inner = config().attention_width();
    for (index_t l = 0; l < config().decoder_layers; ++l) {
      auto const& w = weights().decoder[static_cast<std::size_t>(l)];
      decoder_.push_back({freeze(backend, w.qkv.row_block(0, inner)),
                          freeze(backend, w.qkv.row_block(inner, 2 * inner)), freeze(backend, w.output),
                          freeze(backend, w.cross_query),
                          freeze(backend, weights().cross_key_value.row_block(l * 2 * inner, 2 * inner)),
                          freeze(backend, w.cross_output), freeze(backend, w.expand), freeze(backend, w.contract),
                          w.attention_norm, w.cross_norm, w.feed_forward_norm});
    }
  }

  /// Opens a backend for another thread that searches with this model: the device and the precision that it was frozen
  /// on.
  typename detail::reopening<B>::options const& worker_options() const { return worker_; }
  t5_config const& config() const { return model_.config(); }
  t5<B, T> const& model() const { return model_; }
  /// What is looked up and never multiplied: embeddings, biases, norms.
  t5_weights<T const, space> const& weights() const { return model_.weights(); }
  matrix const& output() const { return output_; }  ///< scaled by config().output_scale()
  std::vector<encoder_layer> const& encoder() const { return encoder_; }
  std::vector<decoder_layer> const& decoder() const { return decoder_; }

 private:
  static matrix freeze(B& backend, in_matrix<B, T> weight, double alpha = 1) {
    return freeze_weight<T>(backend, weight, alpha);
  }

  typename detail::reopening<B>::options worker_;
  t5<B, T> model_;
  matrix output_;
  std::vector<encoder_layer> encoder_;
  std::vector<decoder_layer> decoder_;
};

}  // namespace mql4grec
