#pragma once
// Inference: the encoder once a query, then the decoder a token at a time for many rows, each attending to its own
// ancestors in a cache and to the encoder's result of its query, which its rows share.
#include "mql4grec/backend/beam.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/seq2seq/frozen_t5.hpp"
#include "mql4grec/seq2seq/stack.hpp"

namespace mql4grec {

/// What a decoder step asks of a backend beyond the layers.
template <class B, class T>
concept DecodingOps = nn::KeyTurningOps<B, T> && requires(B& b, cached_attention_inputs<typename B::memory_space, T> in, out_matrix<B, T> y) {
  cached_attention<T>(b, in, y);
};

/// One lane's decoding of a block of queries. Its memory is the lane's scratch: it must not outlive the scope it was made in.
template <Backend B, class T>
class t5_decoding {
 public:
  /// Encodes the queries and makes room for `places` cached rows in all, over at most `steps` steps.
  t5_decoding(B& lane, frozen_t5<B, T> const& model, batch const& queries, stretch part, index_t places, index_t steps)
      : model_(model), inputs_(detail::take_block(lane, queries, part, model.config())) {
    static_assert(DecodingOps<B, T>, "this backend has no cached_attention or turn_keys for this scalar; add them in backend/<name>/");
    auto const& c = model.config();
    bias_ = detail::relative_bias<T>(lane, c, model.weights().decoder_bias, steps, direction::backwards_only);
    // a matrix a layer, not the columns of one: rows so far apart would meet in the same lines of the cache
    std::vector<out_matrix<B, T>> key_values;
    for (index_t l = 0; l < c.decoder_layers; ++l) {
      cache_.push_back(lane.scratch().template take<T>(places, 2 * c.attention_width()));
      key_values.push_back(lane.scratch().template take<T>(inputs_.input_rows.rows, 2 * c.attention_width()));
    }
    encode(lane, key_values);
    for (auto const& key_value : key_values) {
      memory_.push_back(detail::cross_memory_of<B, in_matrix<B, T>>(c, key_value, inputs_.input_rows, 0));
      memory_.back().turned_keys = turn_keys<T>(lane, memory_.back().k, inputs_.input_rows.offsets, c.heads);
    }
  }

  index_t queries() const { return inputs_.input_rows.sequences(); }

  /// One step. The rows' own keys and values go to the places first_place … of the cache; logits is (rows, V).
  void step(B& lane, decoder_rows<B> const& rows, index_t first_place, out_matrix<B, T> logits) const {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    scratch_scope<B> const scope(lane.scratch());
    index_t const n = rows.tokens.size(), d = c.model_width;
    detail::packed_rows<B> const packed{.offsets = rows.query_offsets, .rows = n};
    auto const pass = detail::make_pass(lane, c, nn::dropout_plan{}, packed, bias_, true);
    auto stream = lane.scratch().template take<T>(n, d), next = lane.scratch().template take<T>(n, d);
    auto const cross = detail::take_attention_tape<T>(lane, c, n, 1, c.heads * n * inputs_.input_rows.longest);
    auto const feed_forward = detail::take_feed_forward_tape<T>(lane, c, n);
    nn::embedding<T>(lane, w.embedding, rows.tokens, stream);
    for (index_t l = 0; l < c.decoder_layers; ++l) {
      auto const& layer = model_.decoder()[static_cast<std::size_t>(l)];
      attend_to_ancestors(lane, layer, l, rows, first_place, stream, cross, next);
      detail::cross_attention_forward<B, T>(pass, layer, memory_[static_cast<std::size_t>(l)], 0, next, cross, stream);
      detail::feed_forward_forward<B, T>(pass, layer, 0, stream, feed_forward, next);
      std::swap(stream, next);
    }
    nn::rms_norm<T>(lane, stream, w.decoder_norm, c.epsilon, feed_forward.norm.normed, feed_forward.norm.inv_rms);
    nn::linear<T>(lane, feed_forward.norm.normed, model_.output(), logits);
  }

 private:
  void attend_to_ancestors(B& lane, typename frozen_t5<B, T>::decoder_layer const& layer, index_t number,
                           decoder_rows<B> const& rows, index_t first_place, in_matrix<B, T> stream,
                           detail::attention_tape<B, T> const& room, out_matrix<B, T> next) const {
    auto const cache = cache_[static_cast<std::size_t>(number)];
    nn::rms_norm<T>(lane, stream, layer.attention_norm, model_.config().epsilon, room.norm.normed, room.norm.inv_rms);
    nn::linear<T>(lane, room.norm.normed, layer.query, room.projected);
    nn::linear<T>(lane, room.norm.normed, layer.key_value, cache.row_block(first_place, stream.rows()));
    cached_attention<T>(lane, {.q = room.projected, .cache = cache, .places = rows.places, .bias = bias_.bias, .zero_distance = bias_.zero_distance}, room.context);
    nn::linear<T>(lane, room.context, layer.output, next);
    dropout_add<T>(lane, dropout{}, stream, next);
  }

  /// The encoder, with two streams that take turns and one layer's room for all layers; then all layers' keys and values.
  void encode(B& lane, std::span<out_matrix<B, T> const> key_values) {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    auto const& packed = inputs_.input_rows;
    scratch_scope<B> const scope(lane.scratch());
    auto const bias = detail::relative_bias<T>(lane, c, w.encoder_bias, packed.longest, direction::both_ways);
    auto const pass = detail::make_pass(lane, c, nn::dropout_plan{}, packed, bias, false);
    auto const stream = lane.scratch().template take<T>(packed.rows, c.model_width);
    auto const middle = lane.scratch().template take<T>(packed.rows, c.model_width);
    auto const attention = detail::take_attention_tape<T>(lane, c, packed.rows, 3, c.heads * packed.pairs);
    auto const feed_forward = detail::take_feed_forward_tape<T>(lane, c, packed.rows);
    nn::embedding<T>(lane, w.embedding, inputs_.inputs, stream);
    for (auto const& layer : model_.encoder()) {
      detail::self_attention_forward<B, T>(pass, layer, 0, stream, attention, middle);
      detail::feed_forward_forward<B, T>(pass, layer, 0, middle, feed_forward, stream);
    }
    nn::rms_norm<T>(lane, stream, w.encoder_norm, c.epsilon, feed_forward.norm.normed, feed_forward.norm.inv_rms);
    for (std::size_t l = 0; l < key_values.size(); ++l)
      nn::linear<T>(lane, feed_forward.norm.normed, model_.decoder()[l].cross_key_value, key_values[l]);
  }

  frozen_t5<B, T> const& model_;
  detail::token_block<B> inputs_;
  detail::bias_tape<B, T> bias_;
  std::vector<detail::cross_memory<in_matrix<B, T>, B>> memory_;  // a layer
  std::vector<out_matrix<B, T>> cache_;     // a layer: (places, 2·inner) k, v
};

/// How a search begins: it finds this by ADL on the model and knows nothing else of it.
template <Backend B, class T>
t5_decoding<B, T> begin_decoding(B& lane, frozen_t5<B, T> const& model, batch const& queries, stretch part, index_t places, index_t steps) {
  return {lane, model, queries, part, places, steps};
}

}  // namespace mql4grec
