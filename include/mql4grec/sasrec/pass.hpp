#pragma once
// The forward and backward passes of one worker through a SASRec. Views that a pass returns are in the worker's scratch
// and valid until its scope ends. Dropout sites are numbered, so changing their order changes results.
#include <utility>
#include <vector>

#include "mql4grec/nn/attention.hpp"
#include "mql4grec/nn/cross_entropy.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/nn/feed_forward.hpp"
#include "mql4grec/nn/residual_norm.hpp"
#include "mql4grec/sasrec/model.hpp"
#include "mql4grec/sasrec/sequences.hpp"

namespace mql4grec::sasrec {

namespace detail {

/// Histories in the memory that the worker's kernels read.
template <class B>
struct packed_histories {
  in_vector<B, token_t> items = {}, positions = {}, targets = {};  // (rows); targets may be empty
  in_vector<B, index_t> offsets = {};                              // (histories + 1) from 0
  index_t rows = 0, pairs = 0;                                     // pairs: Σ length²
  index_t first_row = 0;  // number of row 0 in the whole batch, by which dropout numbers rows
};

template <class B>
packed_histories<B> take_histories(B& b, sequences const& all, sequence_range part) {
  packed_histories<B> h{.first_row = all.offsets[to_size(part.first)]};
  h.rows = all.offsets[to_size(part.last)] - h.first_row;
  auto const write = [&](host_vector_view<index_t> moved) {
    for (index_t s = 0; s < moved.size(); ++s) moved(s) = all.offsets[to_size(part.first + s)] - h.first_row;
  };
  for (index_t s = part.first; s < part.last; ++s) {
    index_t const length = all.offsets[to_size(s + 1)] - all.offsets[to_size(s)];
    h.pairs += length * length;
  }
  auto const rows_of = [&](std::vector<token_t> const& from) {
    return device_copy(b, view_of(std::span(from)).part(h.first_row, h.rows)).view_all();
  };
  h.offsets = device_copy<index_t, B>(b, part.last - part.first + 1, write).view_all();
  h.items = rows_of(all.items);
  h.positions = rows_of(all.positions);
  if (!all.targets.empty()) h.targets = rows_of(all.targets);
  return h;
}

/// A point of the residual stream, and its norm, which the next sublayer reads.
template <class B, class T>
struct stream_point {
  out_matrix<B, T> stream, normed;  // (rows, d)
  out_vector<B, T> inv_rms;         // (rows)
};

/// The activations of a layer that its backward pass reads.
template <class B, class T>
struct layer_tape {
  stream_point<B, T> input, middle;
  out_matrix<B, T> projected;  // (rows, 3·d): q, k, v
  out_vector<B, T> weights;    // (Σ heads·queries·keys)
  out_matrix<B, T> context;    // (rows, d)
  out_matrix<B, T> hidden;     // (rows, inner) after ReLU and dropout
};

enum : index_t { site_weights, site_attention, site_hidden, site_feed_forward, sites_per_layer };
inline constexpr index_t site_embedding = 0;
inline index_t site_of(index_t layer, index_t site) { return 1 + sites_per_layer * layer + site; }

}  // namespace detail

/// Where a backward pass adds the gradient of the parameters, and the factor that it multiplies it by.
template <class T, MemorySpace S>
struct gradient_target {
  sasrec_weights<T, S> const& sum;  ///< scale · gradient is added here
  double scale = 1;                 ///< 1 / (targets of the whole batch) gives the gradient of the mean loss
};

/// One worker's forward and backward passes. Losses are Σ −log p(target) in nats, by a softmax over all items. Not
/// thread-safe: one object per worker.
template <Backend B, class T>
class sasrec_pass {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Worker and model must outlive the object; the model's parameters may change between passes.
  sasrec_pass(B& worker, sasrec_model<B, T> const& model) : worker_(worker), model_(model) {}

  /// Returns the loss of some histories; without dropout unless `plan` has a rate.
  T loss(sequences const& all, sequence_range part, nn::dropout_plan const& plan = {}) {
    scratch_scope<B> const scope(worker_.scratch());
    auto const [scores, losses] = forward_to_scores(all, part, plan);
    nn::cross_entropy<T>(worker_, scores, histories_.targets, losses);
    return static_cast<T>(sum<T>(worker_, in_vector<B, T>(losses)));
  }

  /// Returns the loss of some histories, and adds its gradient to `gradient`.
  T loss_and_gradient(sequences const& all, sequence_range part, nn::dropout_plan const& plan,
                      gradient_target<T, space> const& gradient) {
    scratch_scope<B> const scope(worker_.scratch());
    auto const [scores, losses] = forward_to_scores(all, part, plan);
    nn::cross_entropy_gradient<T>(worker_, histories_.targets, gradient.scale, scores, losses);
    backward(plan, scores, gradient.sum);
    return static_cast<T>(sum<T>(worker_, in_vector<B, T>(losses)));
  }

  /// Returns the scores of all items after each history, (histories, items), in the scratch.
  [[nodiscard]] out_matrix<B, T> take_scores(sequences const& all, sequence_range part) {
    auto const& c = model_.config();
    forward(detail::take_histories(worker_, all, part), {});
    index_t const n = part.last - part.first;
    auto const last_rows = [&](host_vector_view<index_t> rows) {
      for (index_t s = 0; s < n; ++s) rows(s) = all.offsets[to_size(part.first + s + 1)] - histories_.first_row - 1;
    };
    auto const which = device_copy<index_t, B>(worker_, n, last_rows).view_all();
    auto const ends = take<T>(worker_, n, c.width), scores = take<T>(worker_, n, c.items);
    gather_rows<T>(worker_, in_matrix<B, T>(end_.normed), which, ends);
    nn::linear<T>(worker_, ends, model_.weights().items, scores);
    return scores;
  }

 private:
  std::pair<out_matrix<B, T>, out_vector<B, T>> forward_to_scores(sequences const& all, sequence_range part,
                                                                  nn::dropout_plan const& plan) {
    forward(detail::take_histories(worker_, all, part), plan);
    auto const scores = take<T>(worker_, histories_.rows, model_.config().items);
    auto const losses = take<T>(worker_, histories_.rows);
    nn::linear<T>(worker_, end_.normed, model_.weights().items, scores);
    return {scores, losses};
  }

  detail::stream_point<B, T> take_point() {
    index_t const rows = histories_.rows, d = model_.config().width;
    return {take<T>(worker_, rows, d), take<T>(worker_, rows, d), take<T>(worker_, rows)};
  }
  /// The gain of the norm before a layer; after the last layer, that of the final norm.
  template <class Weights>
  static auto norm_before(Weights const& w, index_t layer) {
    return layer < std::ssize(w.layers) ? w.layers[to_size(layer)].attention_norm : w.norm;
  }
  dropout drop(nn::dropout_plan const& plan, index_t site) const { return plan.at(site, histories_.first_row); }

  attention_inputs<space, T> attention_of(detail::layer_tape<B, T> const& tape, dropout const& site) const {
    index_t const d = model_.config().width;
    return {.q = tape.projected.column_block(0, d),
            .k = tape.projected.column_block(d, d),
            .v = tape.projected.column_block(2 * d, d),
            .query_offsets = histories_.offsets,
            .key_offsets = histories_.offsets,
            .heads = model_.config().heads,
            .causal = true,
            .drop = site,
            .plan = plan_};
  }

  /// Fills the tapes; the result is end_.normed (rows, d).
  void forward(detail::packed_histories<B> const& histories, nn::dropout_plan const& plan) {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    histories_ = histories;
    index_t const rows = histories.rows, d = c.width;
    plan_ = nn::make_attention_plan(worker_, {histories.offsets, histories.offsets, c.heads, rows},
                                    attention_passes::forward_and_backward);
    end_ = take_point();
    embed(drop(plan, detail::site_embedding));
    nn::rms_norm<T>(worker_, {end_.stream, norm_before(w, 0)}, c.epsilon, end_.normed, end_.inv_rms);
    tapes_.resize(to_size(c.layers));
    for (index_t l = 0; l < c.layers; ++l) {
      auto const& layer = w.layers[to_size(l)];
      auto& tape = tapes_[to_size(l)];
      tape = {.input = end_,
              .middle = take_point(),
              .projected = take<T>(worker_, rows, 3 * d),
              .weights = take<T>(worker_, c.heads * histories.pairs),
              .context = take<T>(worker_, rows, d),
              .hidden = take<T>(worker_, rows, c.inner_width)};
      end_ = take_point();
      auto const at = [&](index_t site) { return drop(plan, detail::site_of(l, site)); };
      nn::linear<T>(worker_, tape.input.normed, layer.qkv, tape.projected);
      nn::attention<T>(worker_, attention_of(tape, at(detail::site_weights)), tape.weights, tape.context);
      nn::linear<T>(worker_, tape.context, layer.output, tape.middle.stream);
      add_and_norm(at(detail::site_attention), tape.input, layer.feed_forward_norm, tape.middle);
      nn::linear_relu<T>(worker_, at(detail::site_hidden), tape.middle.normed, layer.expand, tape.hidden);
      nn::linear<T>(worker_, tape.hidden, layer.contract, end_.stream);
      add_and_norm(at(detail::site_feed_forward), tape.middle, norm_before(w, l + 1), end_);
    }
  }
  /// end_.stream = dropout(item + position)
  void embed(dropout const& site) {
    auto const& w = model_.weights();
    scratch_scope<B> const scope(worker_.scratch());
    auto const places = take<T>(worker_, histories_.rows, model_.config().width);
    nn::embedding<T>(worker_, w.items, histories_.items, end_.stream);
    nn::embedding<T>(worker_, w.positions, histories_.positions, places);
    accumulate<T>(worker_, in_vector<B, T>(places.flat()), end_.stream.flat());
    dropout_apply<T>(worker_, site, end_.stream);
  }
  /// Adds the previous point of the stream to to.stream, which contains the output of a sublayer.
  void add_and_norm(dropout const& site, detail::stream_point<B, T> const& from, in_vector<B, T> gain,
                    detail::stream_point<B, T> const& to) {
    nn::residual_norm<T>(worker_, site, model_.config().epsilon, {from.stream, gain, to.stream, to.normed, to.inv_rms});
  }

  /// The gradient of the pass whose forward() came last, with the same plan. `output` is the gradient of the current
  /// sublayer's output, and `stream` that of the residual stream.
  void backward(nn::dropout_plan const& plan, in_matrix<B, T> dscores, sasrec_weights<T, space> const& g) {
    auto const& c = model_.config();
    auto const& w = model_.weights();
    auto const output = take<T>(worker_, histories_.rows, c.width), stream = take<T>(worker_, histories_.rows, c.width);
    nn::linear_weight_gradient<T>(worker_, end_.normed, dscores, g.items);
    nn::linear_input_gradient<T>(worker_, dscores, w.items, output);
    nn::rms_norm_gradient<T>(worker_, {end_.stream, w.norm}, end_.inv_rms, output, {stream, g.norm});
    dropout_copy<T>(worker_, drop(plan, detail::site_of(c.layers - 1, detail::site_feed_forward)), stream, output);
    for (index_t l = c.layers; l-- > 0;) {
      feed_forward_backward(plan, l, g.layers[to_size(l)], {output, stream});
      attention_backward(plan, l, g.layers[to_size(l)], {output, stream});
    }
    nn::embedding_gradient<T>(worker_, histories_.items, output, g.items);
    nn::embedding_gradient<T>(worker_, histories_.positions, output, g.positions);
  }

  struct stream_gradient {
    out_matrix<B, T> output, stream;  // (rows, d)
  };

  void feed_forward_backward(nn::dropout_plan const& plan, index_t l, typename sasrec_weights<T, space>::layer const& g,
                             stream_gradient const& gradient) {
    auto const& w = model_.weights().layers[to_size(l)];
    auto const& tape = tapes_[to_size(l)];
    auto const& middle = tape.middle;
    scratch_scope<B> const scope(worker_.scratch());
    auto const dhidden = take<T>(worker_, histories_.rows, model_.config().inner_width);
    nn::linear_weight_gradient<T>(worker_, tape.hidden, gradient.output, g.contract);
    nn::linear_input_gradient<T>(worker_, gradient.output, w.contract, dhidden);
    relu_backward<T>(worker_, drop(plan, detail::site_of(l, detail::site_hidden)), tape.hidden, dhidden);
    nn::linear_weight_gradient<T>(worker_, middle.normed, dhidden, g.expand);
    nn::linear_input_gradient<T>(worker_, dhidden, w.expand, gradient.output);
    nn::residual_norm_gradient<T>(worker_, drop(plan, detail::site_of(l, detail::site_attention)),
                                  {middle.stream, w.feed_forward_norm}, middle.inv_rms,
                                  {gradient.output, gradient.stream, g.feed_forward_norm});
  }

  void attention_backward(nn::dropout_plan const& plan, index_t l, typename sasrec_weights<T, space>::layer const& g,
                          stream_gradient const& gradient) {
    index_t const d = model_.config().width;
    auto const& w = model_.weights().layers[to_size(l)];
    auto const& tape = tapes_[to_size(l)];
    auto const& input = tape.input;
    scratch_scope<B> const scope(worker_.scratch());
    auto const dcontext = take<T>(worker_, histories_.rows, d), dprojected = take<T>(worker_, histories_.rows, 3 * d);
    nn::linear_weight_gradient<T>(worker_, tape.context, gradient.output, g.output);
    nn::linear_input_gradient<T>(worker_, gradient.output, w.output, dcontext);
    nn::attention_gradient<T>(worker_, attention_of(tape, drop(plan, detail::site_of(l, detail::site_weights))),
                              tape.weights, dcontext,
                              {.dq = dprojected.column_block(0, d),
                               .dk = dprojected.column_block(d, d),
                               .dv = dprojected.column_block(2 * d, d)});
    nn::linear_weight_gradient<T>(worker_, input.normed, dprojected, g.qkv);
    nn::linear_input_gradient<T>(worker_, dprojected, w.qkv, gradient.output);
    index_t const site = l == 0 ? detail::site_embedding : detail::site_of(l - 1, detail::site_feed_forward);
    nn::residual_norm_gradient<T>(worker_, drop(plan, site), {input.stream, w.attention_norm}, input.inv_rms,
                                  {gradient.output, gradient.stream, g.attention_norm});
  }

  B& worker_;
  sasrec_model<B, T> const& model_;
  detail::packed_histories<B> histories_;
  attention_plan<space> plan_ = {};
  std::vector<detail::layer_tape<B, T>> tapes_;
  detail::stream_point<B, T> end_;
};

}  // namespace mql4grec::sasrec
