#pragma once
// Inference: the encoder runs once per query; the decoder then runs one token at a time for many rows (beams). Each row
// attends to its own ancestors in a cache and to the encoder output of its query, which all rows of the query share. A
// t5_decoding keeps its bookkeeping for the next queries; its tensors are the worker's scratch and are valid until the
// scratch scope ends in which begin() was called.
#include <functional>

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

/// The sizes that determine a step's scratch, in addition to the number of queries and of cache rows. They are part of
/// the key of captured steps.
struct decoder_shape {
  index_t rows;     ///< encoder rows; rounded up where steps are captured, so that few shapes occur
  index_t longest;  ///< rows of the longest query; rounded up likewise
  auto operator<=>(decoder_shape const&) const = default;
};

namespace detail {

/// The memory of a decoding, in the worker's scratch.
template <class B, class T>
struct decoding_memory {
  packed_rows<B> inputs;
  decoder_shape shape;
  position_bias<B, T> bias;                  // of the decoder
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

/// Runs the encoder, then writes the cross-attention's keys and values of all decoder layers, key_values (rows,
/// 2·inner) by layer. Two stream points alternate, and all layers share one layer's scratch, since no backward pass
/// follows. Returns false if go_on() ended it between two layers.
template <class B, class T>
bool encode(B& worker, frozen_t5<B, T> const& model, in_vector<B, token_t> tokens, packed_rows<B> const& rows,
            std::span<out_matrix<B, T> const> key_values, std::function<bool()> const& go_on) {
  auto const& c = model.config();
  auto const& w = model.weights();
  auto const bias = relative_bias<T>(worker, c, w.encoder_bias,
                                     take_buckets(worker, c, rows.longest, attention_direction::bidirectional));
  stack_pass<B, T> const pass{.backend = worker,
                              .config = c,
                              .rows = rows,
                              .direction = attention_direction::bidirectional,
                              .bias = bias,
                              .self_attention = nn::make_attention_plan(
                                  worker, {rows.offsets, rows.offsets, c.heads, rows.rows}, attention_passes::forward)};
  auto const norm_before_layer = [&](index_t layer) { return norm_before(model.encoder(), layer, w.encoder_norm); };
  auto const first = take_point(pass), second = take_point(pass);
  auto const attention = take_attention_activations(pass, 3, c.heads * rows.pairs);
  auto const feed_forward = take_feed_forward_activations(pass);
  enter_stack<B, T>(pass, w.embedding, tokens, first.before(norm_before_layer(0)));
  for (index_t l = 0; l < c.encoder_layers; ++l) {
    if (go_on) {
      worker.synchronize();
      if (!go_on()) return false;
    }
    auto const& layer = model.encoder()[to_size(l)];
    self_attention_forward<B, T>(pass, layer, {first, attention}, second.before(layer.feed_forward_norm));
    feed_forward_forward<B, T>(pass, layer, {second, feed_forward}, first.before(norm_before_layer(l + 1)));
  }
  for (std::size_t l = 0; l < key_values.size(); ++l)
    nn::linear<T>(worker, first.normed, model.decoder()[l].cross_key_value, key_values[l].row_block(0, rows.rows));
  return true;
}

}  // namespace detail

/// One worker's decoding of micro-batches of queries, one after another: begin() encodes the queries, then each step()
/// adds a token to every row. Its tensors are the worker's scratch; from the second micro-batch of a size on, nothing
/// is allocated.
template <Backend B, class T>
class t5_decoding {
 public:
  /// Stores the arguments, which must outlive the object.
  t5_decoding(B& worker, frozen_t5<B, T> const& model) : worker_(&worker), model_(&model) {}

  /// The number of queries.
  index_t queries() const { return memory_.inputs.sequences(); }
  /// The sizes of this decoding.
  decoder_shape shape() const { return memory_.shape; }

  /// Encodes the queries `part` of the batch, computes their cross-attention's keys and values, and reserves the cache.
  /// Takes the place of earlier queries. Steps are valid until the current scratch scope ends. With go_on, it is called
  /// before each layer of the encoder, and on a device the host waits for the layers before. Returns false if go_on()
  /// did: then no step may follow.
  bool begin(tasks::batch const& queries, tasks::micro_batch part, decoder_capacity capacity,
             std::function<bool()> const& go_on = {}) {
    static_assert(DecodingOps<B, T>,
                  "this backend has no cached_attention or pack_keys for this scalar; add them in backend/<name>/");
    auto const& c = model_->config();
    auto const rounded = [](index_t n, index_t step) { return CaptureOps<B> ? round_up(n, step) : n; };
    auto const& inputs = memory_.inputs = detail::take_rows(*worker_, queries.input_offsets, part);
    memory_.shape = {.rows = rounded(inputs.rows, shape_step(inputs.rows, 256)),
                     .longest = rounded(inputs.longest, 16)};
    memory_.bias =
        detail::relative_bias<T>(*worker_, c, model_->weights().decoder_bias,
                                 detail::take_buckets(*worker_, c, capacity.steps, attention_direction::causal));
    take_layers(capacity);
    {
      scratch_scope<B> const scope(worker_->scratch());
      auto const tokens = detail::take_tokens(*worker_, queries.inputs, inputs);
      if (!detail::encode<B, T>(*worker_, *model_, tokens, inputs, memory_.key_values, go_on)) return false;
    }
    for (auto& layer : memory_.memory) layer.packed_keys = pack_keys<T>(*worker_, layer.k, inputs.offsets, c.heads);
    return true;
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
                                        .bias = memory_.bias};
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
};

/// A decoding with this model on this worker; both must outlive it. The search finds this function by
/// argument-dependent lookup on the model; it is the only thing that the search requires of a model.
template <Backend B, class T>
[[nodiscard]] t5_decoding<B, T> make_decoding(B& worker, frozen_t5<B, T> const& model) {
  return {worker, model};
}

}  // namespace mql4grec::seq2seq
