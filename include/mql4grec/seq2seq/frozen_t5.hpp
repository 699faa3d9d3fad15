#pragma once
// A T5 for search: its parameters no longer change, so a backend may store its matrices in the layout that it
// multiplies by fastest. A backend that copies the matrices needs memory for both: the flat parameters remain.
#include <vector>

#include "mql4grec/nn/linear.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec::seq2seq {

namespace detail {
/// The options with which a backend is opened for another thread; empty for a backend that can't be reopened.
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

/// A model whose matrices are frozen. It owns the model. Const members use no locks and no state: any number of threads
/// may search with it, each with its own backend.
template <Backend B, class T>
class frozen_t5 {
 public:
  /// The scalar of the parameters.
  using scalar = T;
  /// The memory space of the parameters.
  using space = typename B::memory_space;
  /// A matrix in the backend's fastest layout.
  using matrix = nn::frozen_weight<B, T>;
  /// A vector of parameters.
  using vector = view<T const, space, 1>;

  /// Parameters of an encoder layer, named as in t5_weights::layer.
  struct encoder_layer {
    matrix qkv, output, expand, contract;      ///< frozen matrices; shapes as in t5_weights::layer
    vector attention_norm, feed_forward_norm;  ///< (d) gains of the norms
  };
  /// Parameters of a decoder layer, named as in t5_weights::layer. Query, key and value are separate matrices, since a
  /// step writes keys and values directly to the cache.
  struct decoder_layer {
    /// Frozen matrices: (inner, d), (2·inner, d), (d, inner), (inner, d), (2·inner, d), (d, inner), (branches·ff, d),
    /// (d, ff).
    matrix query, key_value, output, cross_query, cross_key_value, cross_output, expand, contract;
    vector attention_norm, cross_norm, feed_forward_norm;  ///< (d) gains of the norms
  };

  /// Freezes the matrices of `model` on `backend`, with its device and precision.
  frozen_t5(B& backend, t5<B, T> model)
      : worker_(detail::reopening<B>::of(backend)),
        model_(std::move(model)),
        output_(freeze(backend, weights().output, config().output_scale())) {
    for (auto const& w : weights().encoder)
      encoder_.push_back({freeze(backend, w.qkv), freeze(backend, w.output), freeze(backend, w.expand),
                          freeze(backend, w.contract), w.attention_norm, w.feed_forward_norm});
    index_t const inner = config().attention_width();
    for (index_t l = 0; l < config().decoder_layers; ++l) {
      auto const& w = weights().decoder[to_size(l)];
      decoder_.push_back({freeze(backend, w.qkv.row_block(0, inner)),
                          freeze(backend, w.qkv.row_block(inner, 2 * inner)), freeze(backend, w.output),
                          freeze(backend, w.cross_query),
                          freeze(backend, weights().cross_key_value.row_block(l * 2 * inner, 2 * inner)),
                          freeze(backend, w.cross_output), freeze(backend, w.expand), freeze(backend, w.contract),
                          w.attention_norm, w.cross_norm, w.feed_forward_norm});
    }
  }

  /// The options of the backend that the model was frozen on: its device and precision. A thread that searches with
  /// this model opens its backend with them.
  typename detail::reopening<B>::options const& worker_options() const { return worker_; }
  /// The configuration.
  t5_config const& config() const { return model_.config(); }
  /// The model with its flat parameters.
  t5<B, T> const& model() const { return model_; }
  /// The parameters that aren't multiplied by: embedding, position biases, norms.
  t5_weights<T const, space> const& weights() const { return model_.weights(); }
  /// (V, d) the output matrix, scaled by config().output_scale().
  matrix const& output() const { return output_; }
  /// The encoder's layers, first to last.
  std::vector<encoder_layer> const& encoder() const { return encoder_; }
  /// The decoder's layers, first to last.
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

}  // namespace mql4grec::seq2seq
