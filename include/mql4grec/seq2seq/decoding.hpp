#pragma once
// Inference: the encoder runs once per query; the decoder then runs one token at a time for many rows (beams). Each row
// attends to its own ancestors in a cache and to the encoder output of its query, which all rows of the query share. A
// t5_decoding lives in the worker's scratch: it must not outlive the scratch scope in which it was created.
#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/seq2seq/frozen_t5.hpp"
#include "mql4grec/seq2seq/stack.hpp"

namespace mql4grec {

/// The operations that a decoder step requires of a backend in addition to the layers.
template <class B, class T>
concept DecodingOps = nn::KeyTurningOps<B, T> &&
    requires(B& b, cached_attention_inputs<typename B::memory_space, T> in, out_matrix<B, T> y) {
  cached_attention<T>(b, in, y);
};

/// One worker's decoding of a micro-batch of queries. All its memory is the worker's scratch.
template <Backend B, class T>
class t5_decoding {
 public:
  /// Encodes the queries `part` of the batch, and reserves a cache of `places` rows for at most `steps` steps. Model
  /// and worker must outlive the object.
  t5_decoding(B& worker, frozen_t5<B, T> const& model, batch const& queries, micro_batch part, index_t places,
              index_t steps)
      : model_(model),
        inputs_(detail::take_rows(worker, queries.input_offsets, part)),
        shape_{up(inputs_.rows, shape_step(inputs_.rows, 256)), up(inputs_.longest, 16)} {
    static_assert(DecodingOps<B, T>,
                  "this backend has no cached_attention or pack_keys for this scalar; add them in backend/<name>/");
    auto const& c = model.config();
    bias_ = detail::relative_bias<T>(worker, c, model.weights().decoder_bias,
                                     detail::take_buckets(worker, c, steps, attention_direction::causal));
    // one matrix per layer, not columns of one matrix: rows at such a distance would share cache lines of the same set
    std::vector<out_matrix<B, T>> key_values;
    for (index_t l = 0; l < c.decoder_layers; ++l) {
      cache_.push_back(take<T>(worker, places, 2 * c.attention_width()));
      key_values.push_back(take<T>(worker, shape_.rows, 2 * c.attention_width()));
    }
    encode(worker, queries, key_values);
    for (auto const& key_value : key_values) {
      memory_.push_back(detail::cross_memory_of<B, in_matrix<B, T>>(c, key_value, inputs_, 0));
      memory_.back().packed_keys = pack_keys<T>(worker, memory_.back().k, inputs_.offsets, c.heads);
    }
  }

  /// The number of queries.
  index_t queries() const { return inputs_.sequences(); }

  /// The sizes that determine a step's scratch, in addition to the number of queries and of cache rows. They are part
  /// of the key of captured steps.
  struct step_room {
    index_t rows, longest;  ///< encoder rows, and the longest query's; rounded up where steps are captured
    auto operator<=>(step_room const&) const = default;
  };
  /// The sizes of this decoding.
  step_room shape() const { return shape_; }

  /// One step: writes the keys and values of the rows to the cache rows first_place …, and their logits to `logits`
  /// (rows, V).
  void step(B& worker, decoder_rows<B> const& rows, index_t first_place, out_matrix<B, T> logits) const {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    scratch_scope<B> const scope(worker.scratch());
    index_t const n = rows.tokens.size();
    detail::packed_rows<B> const packed{.offsets = rows.query_offsets, .rows = n};
    auto const pass = detail::make_pass(worker, c, nn::dropout_plan{}, packed, bias_, true);
    auto const norm_before = [&](index_t layer) {
      return detail::norm_before(model_.decoder(), layer, w.decoder_norm);
    };
    auto from = detail::take_point(pass).before(norm_before(0)), to = detail::take_point(pass);
    auto const cross = detail::take_attention_tape<T>(worker, c, n, 1, c.heads * n * shape_.longest);
    auto const feed_forward = detail::take_feed_forward_tape<T>(worker, c, n);
    auto const attention = nn::make_attention_plan(worker, rows.query_offsets, inputs_.offsets, c.heads, n, false);
    detail::enter_stack<B, T>(pass, w.embedding, rows.tokens, from);
    for (index_t l = 0; l < c.decoder_layers; ++l) {
      auto const& layer = model_.decoder()[to_size(l)];
      auto memory = memory_[to_size(l)];
      memory.attention = attention;
      attend_to_ancestors(pass, layer, l, rows, first_place, from, cross, to.before(layer.cross_norm));
      detail::cross_attention_forward<B, T>(pass, layer, memory, 0, to, cross, from.before(layer.feed_forward_norm));
      detail::feed_forward_forward<B, T>(pass, layer, 0, from, feed_forward, to.before(norm_before(l + 1)));
      std::swap(from, to);
    }
    nn::linear<T>(worker, from.normed, model_.output(), logits);
  }

 private:
  using stack_pass = detail::stack_pass<B, T>;
  using stream_point = detail::stream_point<B, T>;

  void attend_to_ancestors(stack_pass const& pass, typename frozen_t5<B, T>::decoder_layer const& layer, index_t number,
                           decoder_rows<B> const& rows, index_t first_place, stream_point const& from,
                           detail::attention_tape<B, T> const& room, stream_point const& to) const {
    B& worker = pass.backend;
    auto const cache = cache_[to_size(number)];
    nn::linear<T>(worker, from.normed, layer.query, room.projected);
    nn::linear<T>(worker, from.normed, layer.key_value, cache.row_block(first_place, from.stream.rows()));
    cached_attention<T>(worker,
                        {.q = room.projected,
                         .cache = cache,
                         .places = rows.places,
                         .bias = bias_.bias,
                         .zero_distance = bias_.zero_distance},
                        room.context);
    nn::linear<T>(worker, room.context, layer.output, to.stream);
    detail::add_and_norm(pass, from, to);
  }

  /// Runs the encoder, then computes the cross-attention's keys and values of all decoder layers. Two stream points
  /// alternate, and all layers share one layer's scratch, since no backward pass follows.
  void encode(B& worker, batch const& queries, std::span<out_matrix<B, T> const> key_values) {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    auto const& packed = inputs_;
    scratch_scope<B> const scope(worker.scratch());
    auto const tokens = detail::take_tokens(worker, queries.inputs, packed);
    auto bias = detail::relative_bias<T>(
        worker, c, w.encoder_bias, detail::take_buckets(worker, c, packed.longest, attention_direction::bidirectional));
    bias.attention = nn::make_attention_plan(worker, packed.offsets, packed.offsets, c.heads, packed.rows, false);
    auto const pass = detail::make_pass(worker, c, nn::dropout_plan{}, packed, bias, false);
    auto const norm_before = [&](index_t layer) {
      return detail::norm_before(model_.encoder(), layer, w.encoder_norm);
    };
    auto const first = detail::take_point(pass), second = detail::take_point(pass);
    auto const attention = detail::take_attention_tape<T>(worker, c, packed.rows, 3, c.heads * packed.pairs);
    auto const feed_forward = detail::take_feed_forward_tape<T>(worker, c, packed.rows);
    detail::enter_stack<B, T>(pass, w.embedding, tokens, first.before(norm_before(0)));
    for (index_t l = 0; l < c.encoder_layers; ++l) {
      auto const& layer = model_.encoder()[to_size(l)];
      detail::self_attention_forward<B, T>(pass, layer, 0, first, attention, second.before(layer.feed_forward_norm));
      detail::feed_forward_forward<B, T>(pass, layer, 0, second, feed_forward, first.before(norm_before(l + 1)));
    }
    for (std::size_t l = 0; l < key_values.size(); ++l)
      nn::linear<T>(worker, first.normed, model_.decoder()[l].cross_key_value, key_values[l].row_block(0, packed.rows));
  }

  /// Rounds up where steps are captured, so that few shapes occur.
  static index_t up(index_t n, index_t step) { return CaptureOps<B> ? round_up(n, step) : n; }

  frozen_t5<B, T> const& model_;
  detail::packed_rows<B> inputs_;
  step_room shape_;
  detail::bias_tape<B, T> bias_;
  std::vector<detail::cross_memory<in_matrix<B, T>, B>> memory_;  // a layer
  std::vector<out_matrix<B, T>> cache_;                           // a layer: (places, 2·inner) k, v
};

/// Starts the decoding of a micro-batch of queries. The search finds this function by argument-dependent lookup on the
/// model; it is the only thing that the search requires of a model.
template <Backend B, class T>
t5_decoding<B, T> begin_decoding(B& worker, frozen_t5<B, T> const& model, batch const& queries, micro_batch part,
                                 index_t places, index_t steps) {
  return {worker, model, queries, part, places, steps};
}

}  // namespace mql4grec
