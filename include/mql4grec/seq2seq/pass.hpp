#pragma once
// The forward and backward passes of one worker through a T5. Views that a pass returns lie in the worker's scratch and
// are valid until its scope ends.
#include "mql4grec/seq2seq/stack.hpp"

namespace mql4grec {

/// One worker's forward and backward passes, one micro-batch at a time. The object keeps the bookkeeping of the
/// activations, so nothing is allocated from the second pass of a size on. Not thread-safe: one object per worker.
template <Backend B, class T>
class t5_pass {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Writes `out` (target tokens of the micro-batch, V): the logits with teacher forcing, without dropout.
  void logits(B& worker, t5<B, T> const& model, batch const& all, micro_batch part, out_matrix<B, T> out) {
    scratch_scope<B> const scope(worker.scratch());
    auto const block = detail::take_block(worker, all, part, model.config());
    forward(worker, model, {}, block, out);
  }

  /// Returns Σ −log p(target token) over the micro-batch in nats; without dropout unless `plan` has a rate.
  T loss(B& worker, t5<B, T> const& model, batch const& all, micro_batch part, nn::dropout_plan const& plan = {}) {
    scratch_scope<B> const scope(worker.scratch());
    return static_cast<T>(
        sum<T>(worker, take_losses(worker, model, detail::take_block(worker, all, part, model.config()), plan)));
  }

  /// Returns the same sum, and adds scale · its gradient to `gradients`. With scale = 1 / (target tokens of the whole
  /// batch), the gradients of all micro-batches add up to the gradient of the mean loss.
  T loss_and_gradient(B& worker, t5<B, T> const& model, batch const& all, micro_batch part,
                      nn::dropout_plan const& plan, double scale, t5_weights<T, space> const& gradients) {
    scratch_scope<B> const scope(worker.scratch());
    return static_cast<T>(
        sum<T>(worker, take_losses_and_gradient(worker, model, detail::take_block(worker, all, part, model.config()),
                                                plan, scale, gradients)));
  }

  /// Returns the loss of each target row (rows), in the scratch.
  out_vector<B, T> take_losses(B& worker, t5<B, T> const& model, detail::token_block<B> const& block,
                               nn::dropout_plan const& plan) {
    auto const scores = take<T>(worker, block.target_rows.rows, model.config().vocabulary);
    auto const losses = take<T>(worker, block.target_rows.rows);
    forward(worker, model, plan, block, scores);
    nn::cross_entropy<T>(worker, scores, block.targets, losses);
    return losses;
  }
  /// Returns the loss of each target row (rows), in the scratch, and adds scale · the gradient of their sum to
  /// `gradients`.
  out_vector<B, T> take_losses_and_gradient(B& worker, t5<B, T> const& model, detail::token_block<B> const& block,
                                            nn::dropout_plan const& plan, double scale,
                                            t5_weights<T, space> const& gradients) {
    auto const scores = take<T>(worker, block.target_rows.rows, model.config().vocabulary);
    auto const losses = take<T>(worker, block.target_rows.rows);
    forward(worker, model, plan, block, scores);
    nn::cross_entropy_gradient<T>(worker, block.targets, scale, scores, losses);
    backward(worker, model, plan, block, scores, gradients);
    return losses;
  }
  /// The addresses of the distance buckets of encoder and decoder for these lengths. Captured work reads them there, so
  /// a graph is valid only as long as the addresses stay the same.
  std::pair<index_t const*, index_t const*> buckets_of(B& worker, t5_config const& c, index_t longest_input,
                                                       index_t longest_target) {
    return {encoder_.buckets.of(worker, c, longest_input).data, decoder_.buckets.of(worker, c, longest_target).data};
  }

 private:
  void forward(B& worker, t5<B, T> const& model, nn::dropout_plan const& plan, detail::token_block<B> const& block,
               out_matrix<B, T> scores) {
    auto const& c = model.config();
    auto const& w = model.weights();
    detail::encoder_forward<B, T>(worker, c, w, plan, block.inputs, block.input_rows, encoder_);
    key_value_ = take<T>(worker, block.input_rows.rows, w.cross_key_value.rows());
    nn::linear<T>(worker, encoder_.end.normed, w.cross_key_value, key_value_);
    detail::decoder_forward<B, T>(worker, c, w, plan, block, key_value_, decoder_);
    nn::linear<T>(worker, decoder_.end.normed, w.output, scores, c.output_scale());
  }

  void backward(B& worker, t5<B, T> const& model, nn::dropout_plan const& plan, detail::token_block<B> const& block,
                in_matrix<B, T> dscores, t5_weights<T, space> const& g) {
    auto const& c = model.config();
    auto const& w = model.weights();
    auto const dhidden = take<T>(worker, block.target_rows.rows, c.model_width);
    auto const dkey_value = take<T>(worker, block.input_rows.rows, w.cross_key_value.rows());
    auto const dencoded = take<T>(worker, block.input_rows.rows, c.model_width);
    nn::linear_weight_gradient<T>(worker, decoder_.end.normed, dscores, g.output, c.output_scale());
    nn::linear_input_gradient<T>(worker, dscores, w.output, dhidden, c.output_scale());
    detail::decoder_backward<B, T>(worker, c, w, g, plan, block, key_value_, decoder_, dhidden, dkey_value);
    nn::linear_weight_gradient<T>(worker, encoder_.end.normed, dkey_value, g.cross_key_value);
    nn::linear_input_gradient<T>(worker, dkey_value, w.cross_key_value, dencoded);
    detail::encoder_backward<B, T>(worker, c, w, g, plan, block.inputs, block.input_rows, encoder_, dencoded);
  }

  detail::encoder_tape<B, T> encoder_;
  detail::decoder_tape<B, T> decoder_;
  out_matrix<B, T> key_value_;
};

}  // namespace mql4grec
