#pragma once
// Inference: the encoder runs once per query; the decoder then runs one token at a time for many rows (beams). Each row
// attends to its own ancestors in a cache and to the encoder output of its query, which all rows of the query share. A
// t5_decoding keeps its bookkeeping for the next queries; its tensors are the worker's scratch and are valid until the
// scratch scope ends in which begin() or reserve() was called.
#include <functional>
#include <span>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/seq2seq/frozen_t5.hpp"
#include "mql4grec/seq2seq/stack.hpp"

namespace mql4grec::seq2seq {

/// The operations that a decoder step requires of a backend in addition to the layers.
template <class B, class T>
concept DecodingOps = nn::KeyPackingOps<B, T> &&
    requires(B& b, cached_attention_inputs<typename B::memory_space, T> in, out_matrix<B, T> y) {
  cached_attention<T>(b, in, y);
};

/// The sizes and addresses that the encoder and the steps depend on, in addition to the number of queries and of cache
/// rows. They are part of the key of captured work.
struct decoder_shape {
  index_t rows;                    ///< encoder rows; rounded up where work is captured, so that few shapes occur
  index_t longest;                 ///< rows of the longest query; rounded up likewise
  index_t const* encoder_buckets;  ///< of the encoder's distances; their memory may move
  index_t const* decoder_buckets;  ///< of the decoder's distances; likewise
  auto operator<=>(decoder_shape const&) const = default;
};

namespace detail {

/// The memory of a decoding, in the worker's scratch.
template <class B, class T>
struct decoding_memory {
  packed_rows<B> inputs;         // all of shape.rows, of which those beyond the offsets belong to no query
  in_vector<B, token_t> tokens;  // (shape.rows)
  decoder_shape shape;
  position_bias<B, T> encoder_bias, bias;    // bias: of the decoder
  std::vector<out_matrix<B, T>> cache;       // by layer: (capacity.rows, 2·inner) k, v
  std::vector<out_matrix<B, T>> key_values;  // by layer: (shape.rows, 2·inner) of the cross-attention
  std::vector<cross_memory<B, T>> memory;    // by layer: views of key_values
};

/// The key/value cache of one layer's self-attention during one step.
template <class B, class T>
struct self_attention_cache {
  out_matrix<B, T> key_value;         // (capacity.rows, 2·inner)
  in_matrix<B, std::int32_t> places;  // (rows, steps so far) the cache rows that each row attends to
  index_t first_place = 0;            // the cache row of the step's first row; the others follow
};

/// Self-attention of one step over the ancestors of each row, whose keys and values are cached.
template <class B, class T, class Layer>
void cached_self_attention_forward(stack_pass<B, T> const& pass, Layer const& weights,
                                   self_attention_cache<B, T> const& cache, attention_tape<B, T> const& tape,
                                   stream_point<B, T> const& output) {
  B& b = pass.backend;
  auto const& a = tape.activations;
  nn::linear<T>(b, tape.input.normed, weights.query, a.projected);
  nn::linear<T>(b, tape.input.normed, weights.key_value, cache.key_value.row_block(cache.first_place, pass.rows.rows));
  cached_attention<T>(b,
                      {.q = a.projected,
                       .cache = cache.key_value,
                       .places = cache.places,
                       .bias = pass.bias.values,
                       .zero_distance = pass.bias.zero_distance},
                      a.context);
  nn::linear<T>(b, a.context, weights.output, output.stream);
  add_and_norm(pass, tape.input, output);
}

/// The tokens of some rows of a batch. Where work is captured, followed by `padding` up to `size` rows.
template <class B>
in_vector<B, token_t> take_padded_tokens(B& b, std::vector<token_t> const& tokens, packed_rows<B> const& rows,
                                         index_t size, token_t padding) {
  if constexpr (CaptureOps<B>) {
    auto const write = [&](host_vector_view<token_t> to) {
      copy<token_t>(view_of(std::span(tokens)).part(rows.first_row, rows.rows), to.part(0, rows.rows));
      fill<token_t>(to.part(rows.rows, size - rows.rows), padding);
    };
    return device_copy<token_t, B>(b, size, write).view_all();
  } else {
    return take_tokens(b, tokens, rows);
  }
}

}  // namespace detail

/// One worker's decoding of micro-batches of queries, one after another: begin() encodes the queries, then each step()
/// adds a token to every row. Its tensors are the worker's scratch; from the second micro-batch of a size on, nothing
/// is allocated.
///
///   reserve()   on the host: takes all memory that lasts, and uploads the queries
///   encode()    work that may be captured; depends on the memory's addresses and on shape()
///   begin()     both
///   step() …    may be captured together with encode(), or alone
template <Backend B, class T>
class t5_decoding {
 public:
  /// Stores the arguments, which must outlive the object.
  t5_decoding(B& worker, frozen_t5<B, T> const& model) : worker_(&worker), model_(&model) {}

  /// The number of queries.
  index_t queries() const { return memory_.inputs.sequences(); }
  /// The sizes of this decoding.
  decoder_shape shape() const { return memory_.shape; }

  /// Reserves the memory for the queries `part` of the batch and for the cache, and uploads the queries, which take the
  /// place of earlier ones. All of it is valid until the current scratch scope ends.
  void reserve(tasks::batch const& queries, tasks::micro_batch part, decoder_capacity capacity) {
    static_assert(DecodingOps<B, T>,
                  "this backend has no cached_attention or pack_keys for this scalar; add them in backend/<name>/");
    auto const& c = model_->config();
    auto const rounded = [](index_t n, index_t step) { return CaptureOps<B> ? round_up(n, step) : n; };
    auto& inputs = memory_.inputs = detail::take_rows(*worker_, queries.input_offsets, part);
    index_t const rows = rounded(inputs.rows, shape_step(inputs.rows, 64)), longest = rounded(inputs.longest, 16);
    memory_.tokens = detail::take_padded_tokens(*worker_, queries.inputs, inputs, rows, c.pad);
    inputs.rows = rows;
    inputs.longest = longest;
    if constexpr (CaptureOps<B>) {  // these must not depend on the queries' lengths, either
      inputs.pairs = rows * longest;
      inputs.first_row = 0;
    }
    memory_.encoder_bias = detail::take_bias<T>(*worker_, c, encoder_buckets_.of(*worker_, c, longest));
    memory_.bias = detail::take_bias<T>(*worker_, c, decoder_buckets_.of(*worker_, c, capacity.steps));
    memory_.shape = {.rows = rows,
                     .longest = longest,
                     .encoder_buckets = memory_.encoder_bias.buckets.data,
                     .decoder_buckets = memory_.bias.buckets.data};
    take_layers(capacity);
  }

  /// Encodes the reserved queries and computes their cross-attention's keys and values. With go_on, it is called before
  /// each layer of the encoder, and on a device the host waits for the layers before. Returns false if go_on() did:
  /// then no step may follow.
  bool encode(std::function<bool()> const& go_on = {}) {
    auto const& c = model_->config();
    auto const& w = model_->weights();
    auto const &of_encoder = memory_.encoder_bias, &of_decoder = memory_.bias;
    relative_bias_forward<T>(*worker_, w.encoder_bias, of_encoder.buckets, of_encoder.values);
    relative_bias_forward<T>(*worker_, w.decoder_bias, of_decoder.buckets, of_decoder.values);
    if (!run_encoder(go_on)) return false;
    for (auto& layer : memory_.memory)
      layer.packed_keys = pack_keys<T>(*worker_, layer.k, memory_.inputs.offsets, c.heads);
    return true;
  }

  /// reserve(), then encode().
  bool begin(tasks::batch const& queries, tasks::micro_batch part, decoder_capacity capacity,
             std::function<bool()> const& go_on = {}) {
    reserve(queries, part, capacity);
    return encode(go_on);
  }

  /// One step: writes the keys and values of the rows to the cache rows first_place …, and their logits to `logits`
  /// (rows, V).
  void step(decoder_rows<B> const& rows, index_t first_place, out_matrix<B, T> logits) const {
    auto const& c = model_->config();
    auto const& w = model_->weights();
    scratch_scope<B> const scope(worker_->scratch());
    index_t const n = rows.tokens.size();
    detail::stack_pass<B, T> const pass{.backend = *worker_,
                                        .config = c,
                                        .rows = {.offsets = rows.query_offsets, .rows = n},
                                        .direction = attention_direction::causal,
                                        .bias = memory_.bias,
                                        .keeps_weights = false};
    auto const norm_before = [&](index_t layer) {
      return detail::norm_before(model_->decoder(), layer, w.decoder_norm);
    };
    auto from = detail::take_point(pass).before(norm_before(0)), to = detail::take_point(pass);
    auto const attention = detail::take_attention_activations(pass, 1, c.heads * n * memory_.shape.longest);
    auto const feed_forward = detail::take_feed_forward_activations(pass);
    auto const plan = nn::make_attention_plan(*worker_, {rows.query_offsets, memory_.inputs.offsets, c.heads, n},
                                              attention_passes::forward);
    detail::enter_stack<B, T>(pass, w.embedding, rows.tokens, from);
    for (std::size_t l = 0; l < model_->decoder().size(); ++l) {
      auto const& layer = model_->decoder()[l];
      detail::self_attention_cache<B, T> const cache{
          .key_value = memory_.cache[l], .places = rows.places, .first_place = first_place};
      auto memory = memory_.memory[l];
      memory.cross_attention = plan;
      detail::cached_self_attention_forward<B, T>(pass, layer, cache, {from, attention}, to.before(layer.cross_norm));
      detail::cross_attention_forward<B, T>(pass, layer, memory, {to, attention}, from.before(layer.feed_forward_norm));
      detail::feed_forward_forward<B, T>(pass, layer, {from, feed_forward},
                                         to.before(norm_before(static_cast<index_t>(l) + 1)));
      std::swap(from, to);
    }
    nn::linear<T>(*worker_, from.normed, model_->output(), logits);
  }

 private:
  /// Runs the encoder, then writes the cross-attention's keys and values of all decoder layers. Two stream points
  /// alternate, and all layers share one layer's scratch, since no backward pass follows. Rows that belong to no query
  /// are computed, too, from undefined values; every operation but attention works row by row, so no query sees them.
  /// Returns false if go_on() ended it between two layers.
  bool run_encoder(std::function<bool()> const& go_on) const {
    auto const& c = model_->config();
    auto const& w = model_->weights();
    auto const& rows = memory_.inputs;
    scratch_scope<B> const scope(worker_->scratch());
    detail::stack_pass<B, T> const pass{
        .backend = *worker_,
        .config = c,
        .rows = rows,
        .direction = attention_direction::bidirectional,
        .bias = memory_.encoder_bias,
        .self_attention = nn::make_attention_plan(*worker_, {rows.offsets, rows.offsets, c.heads, rows.rows},
                                                  attention_passes::forward),
        .keeps_weights = false};
    auto const norm_before_layer = [&](index_t layer) {
      return detail::norm_before(model_->encoder(), layer, w.encoder_norm);
    };
    auto const first = detail::take_point(pass), second = detail::take_point(pass);
    auto const attention = detail::take_attention_activations(pass, 3, c.heads * rows.pairs);
    auto const feed_forward = detail::take_feed_forward_activations(pass);
    detail::enter_stack<B, T>(pass, w.embedding, memory_.tokens, first.before(norm_before_layer(0)));
    for (index_t l = 0; l < c.encoder_layers; ++l) {
      if (go_on) {
        worker_->synchronize();
        if (!go_on()) return false;
      }
      auto const& layer = model_->encoder()[to_size(l)];
      detail::self_attention_forward<B, T>(pass, layer, {first, attention}, second.before(layer.feed_forward_norm));
      detail::feed_forward_forward<B, T>(pass, layer, {second, feed_forward}, first.before(norm_before_layer(l + 1)));
    }
    for (std::size_t l = 0; l < memory_.key_values.size(); ++l)
      nn::linear<T>(*worker_, first.normed, model_->decoder()[l].cross_key_value, memory_.key_values[l]);
    return true;
  }

  /// The cache, and the cross-attention's keys and values, of every layer. A matrix per layer, not columns of one
  /// matrix: rows at such a distance would share cache lines of the same set.
  void take_layers(decoder_capacity capacity) {
    index_t const inner = model_->config().attention_width();
    memory_.cache.clear();
    memory_.key_values.clear();
    memory_.memory.clear();
    for (index_t l = 0; l < model_->config().decoder_layers; ++l) {
      memory_.cache.push_back(take<T>(*worker_, capacity.rows, 2 * inner));
      auto const key_value = take<T>(*worker_, memory_.shape.rows, 2 * inner);
      memory_.key_values.push_back(key_value);
      memory_.memory.push_back(
          {.k = key_value.column_block(0, inner), .v = key_value.column_block(inner, inner), .rows = memory_.inputs});
    }
  }

  B* worker_;
  frozen_t5<B, T> const* model_;
  detail::decoding_memory<B, T> memory_;
  detail::bucket_table<B> encoder_buckets_{attention_direction::bidirectional},
      decoder_buckets_{attention_direction::causal};
};

/// A decoding with this model on this worker; both must outlive it. The search finds this function by
/// argument-dependent lookup on the model; it is the only thing that the search requires of a model.
template <Backend B, class T>
[[nodiscard]] t5_decoding<B, T> make_decoding(B& worker, frozen_t5<B, T> const& model) {
  return {worker, model};
}

}  // namespace mql4grec::seq2seq
